from cloudchamber.wire.dtls.prf import client_verify_data, key_block, master_secret, prf, server_verify_data

# The well-known vector for the TLS 1.2 PRF with SHA-256, from the TLS working group's mailing list.
SECRET = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
SEED = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
OUTPUT = bytes.fromhex(
    "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
    "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
    "87347b66"
)


def test_known_vector() -> None:
    for size in (0, 1, 31, 32, 33, 64, len(OUTPUT)):
        assert prf(SECRET, b"test label", SEED, size) == OUTPUT[:size]


def test_what_is_derived_is_cut_and_ordered_as_the_rfc_says() -> None:
    client_random, server_random = bytes(32), b"\xff" * 32
    master = master_secret(b"premaster", client_random, server_random)
    assert master == prf(b"premaster", b"master secret", client_random + server_random, 48)
    keys = key_block(master, client_random, server_random)
    assert b"".join(keys) == prf(master, b"key expansion", server_random + client_random, 40)
    assert [len(part) for part in keys] == [16, 16, 4, 4]
    assert client_verify_data(master, b"h") == prf(master, b"client finished", b"h", 12)
    assert server_verify_data(master, b"h") == prf(master, b"server finished", b"h", 12)
