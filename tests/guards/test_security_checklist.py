"""Which tests hold which statements of the security checklist; a test that is renamed or lost is missed here.

The numbers are those of the checklist: 1 to 22 tokens and client authentication, 23 to 32 redirect flows, 33 to 44
ownership and access, 45 to 54 abuse and inputs, 55 to 60 devices and faults.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

HELD: dict[int, tuple[str, ...]] = {
    1: ("security/test_01_to_22_tokens.py::test_01_a_hundred_thousand_tokens_share_nothing",),
    2: (
        "oauth/test_tokens.py::test_the_database_holds_no_usable_secret",
        "identity/test_mfa.py::test_what_the_database_keeps_opens_with_the_sealing_key_alone",
    ),
    3: (
        "api/test_token_endpoint.py::test_a_token",
        "api/test_edge.py::test_no_token",
        "api/test_token_endpoint.py::test_the_messages",
    ),
    4: (
        "api/test_token_endpoint.py::test_the_messages",
        "security/test_01_to_22_tokens.py::test_04_an_unknown_client_and_a_wrong_secret_take_the_same_time_and_body",
    ),
    5: (
        "api/test_auth.py::test_a_parameter_sent_twice_is_refused",
        "api/test_token_endpoint.py::test_the_messages",
        "oauth/test_grants.py::test_the_first_thing_that_is_wrong_is_said",
    ),
    6: ("api/test_edge.py::test_tokens_in_wrong_places",),
    7: (
        "api/test_edge.py::test_a_token_in_each_of_its_places",
        "api/test_edge.py::test_the_access_log_has_routes_but_neither_paths_nor_queries",
        "security/test_07_query_tokens.py::test_07_accounts_made_since_the_date_send_no_token_in_the_query",
        "security/test_07_query_tokens.py::test_07_the_date_is_a_date",
    ),
    8: (
        "oauth/test_mfa_grants.py::test_8_a_password_alone_gives_no_token",
        "oauth/test_mfa_grants.py::test_8_refreshing_needs_no_code_but_ends_with_the_log_in",
        "api/test_token_endpoint.py::test_a_token",
        "oauth/test_grants.py::test_the_password_grant_can_be_switched_off",
        "oauth/test_clients.py::test_8_a_client_that_is_not_for_passwords_takes_none",
        "oauth/test_clients.py::test_8_new_clients_take_passwords_where_the_switch_is_on",
    ),
    9: (
        "api/test_edge.py::test_no_token",
        "api/test_edge.py::test_an_unknown_token",
        "api/test_edge.py::test_a_limited_token_is_told_which_scope_it_lacks",
    ),
    10: (
        "security/test_01_to_22_tokens.py::test_10_a_clients_token_is_never_a_person",
        "oauth/test_grants.py::test_two_legs_reach_the_products_own_customers_and_nobody_else",
    ),
    11: ("oauth/test_grants.py::test_two_legs_reach_the_products_own_customers_and_nobody_else",),
    12: (
        "security/test_01_to_22_tokens.py::test_12_a_create_only_client_does_one_thing",
        "oauth/test_grants.py::test_a_create_only_client_becomes_no_customer_and_does_one_thing",
    ),
    13: (
        "security/test_01_to_22_tokens.py::test_13_a_token_never_exceeds_its_client",
        "oauth/test_tokens.py::test_a_clients_scope_shrinks_under_its_tokens",
    ),
    14: (
        "oauth/test_introspection.py::test_14_a_refresh_token_at_another_client_is_refused_and_written_down",
        "security/test_14_60_audit.py::test_14_60_what_happens_is_written_down_without_a_secret",
    ),
    15: ("oauth/test_refresh.py::test_a_replay_after_the_child_was_used_ends_the_family",),
    16: (
        "security/test_01_to_22_tokens.py::test_16_a_hundred_refreshes_at_once_give_one_pair",
        "oauth/test_refresh.py::test_two_processes_make_one_pair",
    ),
    17: (
        "security/test_01_to_22_tokens.py::test_17_a_client_that_dies_before_the_answer_gets_it_again",
        "oauth/test_refresh.py::test_the_answer_that_got_lost_is_given_again",
    ),
    18: (
        "oauth/test_tokens.py::test_18_a_list_tells_where_a_token_comes_from_and_until_when_it_is_refreshed",
        "oauth/test_tokens.py::test_18_a_refresh_token_ends_when_it_lies_idle_and_with_its_log_in",
    ),
    19: (
        "security/test_01_to_22_tokens.py::test_19_a_revoked_token_is_refused_on_every_route",
        "api/test_token_endpoint.py::test_19_revocation_by_its_rfc_ends_streams_within_a_second",
        "api/test_sse.py::test_a_revoked_token_ends_its_stream_within_a_second",
    ),
    20: (
        "api/test_token_endpoint.py::test_20_introspection",
        "oauth/test_introspection.py::test_20_nothing_that_is_not_good_is_told_apart",
        "oauth/test_introspection.py::test_20_a_client_sees_its_own_tokens_and_those_of_its_product",
    ),
    21: (
        "identity/test_accounts.py::test_21_a_new_password_ends_log_ins",
        "identity/test_mfa.py::test_21_a_second_factor_can_end_other_log_ins",
        "api/test_users.py::test_21_a_stream_ends_within_a_second_of_a_new_password",
        "api/test_users.py::test_the_end",
        "security/test_21_accounts.py::test_21_a_log_in_that_began_before_all_ended_comes_too_late",
        "security/test_21_accounts.py::test_21_an_old_password_is_of_no_use_to_who_shows_it_while_it_is_changed",
        "security/test_21_accounts.py::test_21_an_account_that_is_switched_off_has_no_way_in",
        "oauth/test_rules.py::test_21_which_log_ins_count",
        "oauth/web/test_codes.py::test_21_a_page_that_was_open_when_all_log_ins_ended_allows_nothing",
        "console/test_live.py::test_21_a_stream_of_the_console_ends_within_seconds_of_its_session",
        "security/test_21_accounts.py::test_21_an_operator_shuts_a_user_out_of_a_cloud_that_runs",
    ),
    22: (
        "api/test_token_endpoint.py::test_22_the_tokens_of_a_product",
        "oauth/test_tokens.py::test_22_a_product_caps_its_tokens",
        "organizations/test_teams.py::test_22_an_api_users_token_ends_when_it_was_said_to",
        "organizations/test_teams.py::test_22_an_api_users_token_is_under_the_caps",
        "oauth/test_rules.py::test_a_lifetime_under_the_servers_caps",
    ),
    23: (
        "oauth/web/test_rules.py::test_23_a_redirect_is_compared_as_an_exact_string",
        "pages/test_authorize.py::test_23_what_does_not_fit_is_answered_here_and_sent_nowhere",
    ),
    24: (
        "oauth/web/test_rules.py::test_24_native_apps_on_their_own_machine_come_by_any_port",
        "pages/test_authorize.py::test_24_a_native_app_listens_on_a_port_that_was_free",
    ),
    25: (
        "oauth/test_clients.py::test_25_codes_and_tokens_go_over_tls_or_stay_on_the_machine",
        "pages/test_authorize.py::test_25_a_client_on_record_cannot_be_led_off_tls",
    ),
    26: (
        "oauth/web/test_rules.py::test_26_pkce",
        "oauth/web/test_rules.py::test_26_what_is_refused_by_redirect",
        "pages/test_authorize.py::test_26_plain_and_missing_pkce",
    ),
    27: (
        "oauth/web/test_rules.py::test_27_when_a_code_becomes_tokens",
        "oauth/web/test_rules.py::test_27_a_code_lives_a_minute_at_the_most",
        "pages/test_authorize.py::test_27_a_code_works_once_for_its_client_and_redirect",
        "oauth/web/test_codes.py::test_27_a_code_that_is_shown_again_before_its_tokens_are_there_gives_none",
    ),
    28: (
        "pages/test_authorize.py::test_28_who_answers_and_where_everything_is",
        "pages/test_authorize.py::test_28_the_issuer_is_the_public_address_everywhere",
    ),
    29: (
        "pages/test_authorize.py::test_29_pages_cannot_be_framed_or_read_by_others",
        "pages/test_authorize.py::test_29_cookies_and_forms_are_the_pages_own",
    ),
    30: (
        "pages/test_authorize.py::test_30_consent_names_what_it_is_about_and_can_be_taken_back",
        "oauth/web/test_codes.py::test_30_what_was_taken_back_is_not_fetched_a_moment_later",
    ),
    31: (
        "oauth/web/test_rules.py::test_31_what_a_waiting_device_hears",
        "oauth/web/test_rules.py::test_31_who_asks_too_often_is_slowed_down_more_and_more",
        "oauth/web/test_rules.py::test_31_user_codes_are_not_guessed",
        "pages/test_device_grant.py::test_31_a_device_is_approved",
        "pages/test_device_grant.py::test_31_a_device_is_denied_or_forgotten",
        "pages/test_device_grant.py::test_31_who_asks_too_often_is_told_to_slow_down",
        "pages/test_device_grant.py::test_31_guesses_at_a_code_are_limited",
    ),
    32: (
        "pages/test_authorize.py::test_32_what_was_pushed_or_signed_elsewhere_is_not_taken_for_what_the_browser_brings",
        "security/test_32_proofs.py::test_32_no_token_is_said_to_be_bound_and_none_is_taken_with_a_proof",
    ),
    33: (
        "matrix/test_matrix.py::test_everybody_tries_everything",
        "matrix/test_matrix.py::test_33_time_does_not_tell_what_is_there",
        "matrix/test_matrix.py::test_every_row_is_somebodys",
        "matrix/test_complaints.py::test_33_who_may_not_ask_learns_nothing_by_asking_badly",
        "console/test_guard.py::test_whoever_is_not_in_the_team_finds_nothing",
    ),
    34: ("security/test_34_to_41_devices.py::test_34_a_customer_touches_no_device_of_another",),
    35: (
        "security/test_34_to_41_devices.py::test_35_of_a_thousand_who_claim_one_device_one_gets_it",
        "security/test_34_to_41_devices.py::test_35_over_http_too",
    ),
    36: (
        "security/test_34_to_41_devices.py::test_36_a_code_is_void_when_its_customer_is_gone",
        "ownership/test_rules.py::test_a_code_works_once",
        "ownership/test_service.py::test_codes_that_do_nothing",
        "ownership/test_service.py::test_one_code_at_many_devices_at_once",
    ),
    37: (
        "security/test_34_to_41_devices.py::test_37_an_id_alone_is_no_claim",
        "security/test_34_to_41_devices.py::test_37_ids_cannot_be_tried_out",
    ),
    38: (
        "security/test_34_to_41_devices.py::test_38_at_no_instant_is_a_device_nobodys",
        "security/test_34_to_41_devices.py::test_38_streams_follow_their_device",
        "security/test_34_to_41_devices.py::test_38_a_transfer_survives_a_kill_at_any_moment",
    ),
    39: ("security/test_34_to_41_devices.py::test_39_the_next_owner_reads_nothing_of_the_last",),
    40: (
        "security/test_40_44_leaving.py::test_40_a_member_who_is_removed_or_has_a_lower_role_feels_it_at_once",
        "organizations/test_teams.py::test_a_removed_members_streams_end_before_the_removal_is_answered",
    ),
    41: (
        "security/test_34_to_41_devices.py::test_41_fields_that_are_not_the_requests_change_nothing",
        "security/test_34_to_41_devices.py::test_41_what_is_made_and_changed_beside_devices_takes_no_more_either",
    ),
    42: (
        "fleet/test_large_import.py::test_a_hundred_thousand_lines",
        "fleet/test_large_import.py::test_a_batch_that_fails_leaves_whole_batches",
    ),
    43: (
        "fleet/test_quarantine.py::test_nobody_reaches_it_and_nobody_hears_it",
        "api/test_product_devices.py::test_a_device_in_quarantine_from_its_first_word_to_its_last",
    ),
    44: ("security/test_40_44_leaving.py::test_44_a_customer_who_is_deleted_leaves_nothing_but_an_opaque_id",),
    45: (
        "security/test_45_46_limits.py::test_45_the_eleventh_failure_in_a_row_locks_an_address_out",
        "security/test_45_46_limits.py::test_45_wrong_passwords_from_many_addresses_are_bounded_for_one_name",
    ),
    46: (
        "security/test_45_46_limits.py::test_46_a_forged_header_changes_nothing",
        "security/test_45_46_limits.py::test_46_any_route_by_address_and_by_principal",
    ),
    47: (
        "api/test_edge.py::test_a_body_that_says_it_is_too_large_is_refused_unread",
        "api/test_edge.py::test_a_body_that_turns_out_too_large_is_refused",
        "api/test_server.py::test_headers_without_end_are_cut_off",
        "api/test_bodies.py::test_json_may_be_nested_to_the_limit_and_no_further",
        "api/test_bodies.py::test_forms_that_are_refused",
        "messaging/test_streams.py::test_the_number_of_streams_is_bounded_in_all_and_for_each",
        "security/test_45_46_limits.py::test_streams_open_at_once",
        "webhooks/test_service.py::test_many_at_once_do_not_get_past_the_limit",
    ),
    48: (
        "webhooks/test_rules.py::test_48_nothing_else_may",
        "webhooks/test_sender.py::test_48_private_addresses_are_refused_however_they_are_written",
        "webhooks/test_sender.py::test_48_a_name_is_judged_by_what_it_is_at_the_moment_of_connecting",
        "webhooks/test_sender.py::test_48_a_redirect_is_judged_like_any_other_target",
        "webhooks/test_delivery.py::test_48_without_the_switch_private_addresses_are_refused",
    ),
    49: (
        "webhooks/test_sender.py::test_49_a_host_that_never_answers_or_drips_is_left",
        "webhooks/test_sender.py::test_49_an_endless_answer_is_read_as_far_as_it_is_of_use",
        "webhooks/test_delivery.py::test_49_a_host_that_never_answers_holds_up_nobody_else",
    ),
    50: (
        "webhooks/test_rules.py::test_50_what_fires_a_hook",
        "webhooks/test_delivery.py::test_50_what_a_hook_says_fires_no_hook",
        "webhooks/test_mustache.py::test_50_nothing_of_the_server_can_be_reached_by_any_name",
    ),
    52: (
        "api/test_users.py::test_52_registration_does_not_tell_who_exists",
        "api/test_resources.py::test_a_password_reset_tells_nothing_of_who_exists",
        "security/test_52_53_passwords.py::test_52_a_log_in_takes_the_same_time_whether_or_not_the_account_exists",
        "security/test_52_53_passwords.py::test_52_a_registration_hashes_before_it_looks",
    ),
    53: (
        "identity/test_rules.py::test_a_users_password_of_any_composition",
        "identity/test_rules.py::test_what_is_guessed_first_is_no_users_password",
        "security/test_52_53_passwords.py::test_53_a_flood_of_log_ins_does_not_stop_the_loop",
        "security/test_52_53_passwords.py::test_53_token_checks_keep_their_pace_during_a_flood_of_log_ins",
    ),
    54: (
        "identity/test_mfa.py::test_54_a_code_counts_once",
        "identity/test_mfa.py::test_54_a_recovery_code_counts_once_and_in_any_spelling",
        "identity/test_mfa.py::test_54_several_apps_and_each_has_its_own_codes",
        "identity/test_mfa.py::test_54_no_way_back_to_a_password_turns_them_off",
        "identity/test_service.py::test_a_reset_works_once_for_an_hour",
    ),
    51: ("api/test_server.py::test_what_smuggling_needs_is_refused_and_closes_the_connection",),
    55: (
        "gateway/test_bad_input.py::test_truncated_handshake",
        "gateway/test_bad_input.py::test_bit_flipped_handshake",
        "gateway/test_bad_input.py::test_replayed_handshake",
        "gateway/test_bad_input.py::test_handshake_for_another_server",
        "gateway/test_takeover.py::test_a_second_device_of_the_same_id_and_another_key_disturbs_nobody",
        "gateway/test_takeover.py::test_only_hello_takes_a_place",
        "wire/dtls/test_handshakes.py::test_a_first_hello_leaves_nothing_and_is_not_amplified",
    ),
    56: (
        "whole/test_crashes.py::test_56_what_was_answered_outlives_kill_9",
        "storage/test_durability.py::test_kill_9",
        "whole/test_udp_crashes.py::test_no_record_number_is_used_twice_whenever_the_process_is_killed",
    ),
    57: (
        "whole/test_faults.py::test_57_a_full_disk_refuses_writes_and_nothing_else",
        "whole/test_faults.py::test_57_damage_is_named_at_the_start",
        "whole/test_faults.py::test_57_a_clock_that_jumps_by_a_day_locks_nobody_out_and_lets_nobody_in",
        "storage/test_groupcommit.py::test_a_failing_commit_fails_its_batch_alone",
    ),
    58: (
        "whole/test_streams.py::test_58_who_comes_back_after_a_kill_hears_each_event_since_once",
        "messaging/test_streams.py::test_a_reader_that_is_too_slow_is_dropped_and_nobody_else",
        "messaging/test_streams.py::test_a_reader_that_stays_full_is_dropped_and_nobody_else",
        "api/test_sse.py::test_a_client_that_does_not_read_is_dropped_and_the_others_have_everything",
    ),
    59: ("whole/test_events.py::test_59_what_was_acknowledged_at_ten_times_the_load_is_all_there_after_a_kill",),
    60: (
        "audit/test_rules.py::test_60_a_line_that_is_gone_is_missed",
        "audit/test_rules.py::test_60_a_line_that_was_changed_is_found",
        "audit/test_rules.py::test_60_lines_that_went_for_their_age_are_missed_unless_the_log_says_so",
        "security/test_14_60_audit.py::test_14_60_what_happens_is_written_down_without_a_secret",
        "security/test_14_60_audit.py::test_60_what_cannot_be_written_waits_and_what_is_too_much_is_counted",
    ),
}

STATEMENTS = frozenset(range(1, 61))


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("number", sorted(HELD))
def test_a_statement_is_held_by_tests_that_are_there(number: int) -> None:
    for name in HELD[number]:
        file, _, function = name.partition("::")
        assert function in functions(TESTS / file), name


def test_no_statement_is_without_a_test() -> None:
    assert set(HELD) >= STATEMENTS
    assert all(HELD.values())
