#!/usr/bin/env bash
BASE=${BASE:-http://127.0.0.1:8080}; RUN=$(date +%s)$RANDOM
USER_NAME=${USER_NAME:-owner$RUN@example.com}; USER_PW=${USER_PW:-pw-$RUN}
T=$(mktemp -d); PASS=0; FAIL=0; SKIP=0; SOFT=0
D='def hex(n): type=="string" and test("^[0-9a-f]{\(n)}$");
   def iso: type=="string" and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z$");
   def tok: .token_type=="bearer" and (.access_token|hex(40)) and (.expires_in|type)=="number" and (.refresh_token|hex(40));
   def cc: type=="string" and test("^[A-Za-z0-9+/]{63}$");'
call() { CASE=$1; shift; STATUS=$(curl -sS -m 40 -o "$T/body" -D "$T/head" -w '%{http_code}' "$@") || STATUS=000; }
_ok()  { [ "$STATUS" = "$1" ] && { [ -z "$2" ] || jq -e "$D $2" "$T/body" >/dev/null 2>&1; }; }
ok()   { if _ok "$1" "$2"; then PASS=$((PASS+1)); echo "ok    $CASE"; else FAIL=$((FAIL+1)); echo "FAIL  $CASE: got $STATUS want $1 / $2"; head -c 300 "$T/body"; echo; fi; }
soft() { if _ok "$1" "$2"; then PASS=$((PASS+1)); echo "ok    $CASE"; else SOFT=$((SOFT+1)); echo "soft  $CASE: got $STATUS proposed $1 / $2"; head -c 300 "$T/body"; echo; fi; }
val()  { jq -r "$1" "$T/body"; }
skip() { SKIP=$((SKIP+1)); echo "skip  $1"; }
call 0.1 -X POST $BASE/v1/users -d username="$USER_NAME" -d password="$USER_PW"; soft 200 '.ok==true'   # refused when the account exists: fine
call 0.2 $BASE/oauth/token -u particle:particle -d grant_type=password -d username="$USER_NAME" --data-urlencode password="$USER_PW"; ok 200 'tok and .expires_in==7776000'
UTOK=${UTOK:-$(val .access_token)}
if [ -z "$P" ]; then
  call 0.3 -X POST $BASE/v1/user/products -H "Authorization: Bearer $UTOK" -H 'content-type: application/json' -d '{"product":{"name":"ElectronTest1 '$RUN'","description":"t","platform_id":10}}'
  [ "$STATUS" = 201 ] && STATUS=200; ok 200 '(.product.id|type)=="number" and .product.id>0 and .product.id<65536'
  P=$(val .product.id)
fi
call 0.4 "$BASE/v1/products/$P?access_token=$UTOK"; ok 200 '(.product.slug|type)=="string"'; PSLUG=$(val .product.slug)
if [ -z "$CID" ]; then
  call 0.5 -X POST $BASE/v1/products/$P/clients -H "Authorization: Bearer $UTOK" -d name="Test1" -d type=installed
  ok 200 '.ok==true and (.client.id|test("^test1-[0-9]{1,4}$")) and (.client.secret|hex(40)) and .client.type=="installed" and .client.name=="Test1"'
  CID=$(val .client.id); CSEC=$(val .client.secret)
fi
call A1 $BASE/oauth/token -u "$CID:$CSEC" -d grant_type=client_credentials; ok 200 'tok and .expires_in==7776000 and (has("scope")|not)'; PTOK=$(val .access_token); PREF=$(val .refresh_token)
call A2 "$BASE/v1/products/$P?access_token=$PTOK"; ok 200 ".product.id==$P"
call A3 "$BASE/v1/products/$PSLUG?access_token=$PTOK"; ok 200 ".product.id==$P and .product.slug==\"$PSLUG\""
CUST=customer30-$RUN@company.com
call A5 -X POST $BASE/v1/products/$P/customers -u "$CID:$CSEC" -d email=$CUST -d no_password=true; ok 201 "tok and .expires_in==7776000 and .scope==\"customer=$CUST\""; CTOK=$(val .access_token); CREF=$(val .refresh_token)
call A6 -X POST $BASE/v1/products/$P/customers -u "$CID:$CSEC" -d email=$CUST -d no_password=true; case $STATUS in 2*) STATUS=bad-$STATUS;; 4*) STATUS=4xx;; esac; ok 4xx '(.access_token|not) and (.error//.errors)'
call A7 -X POST $BASE/oauth/token -u "$CID:$CSEC" -d grant_type=client_credentials -d scope=customer=$CUST; ok 200 "tok and .scope==\"customer=$CUST\" and .access_token!=\"$CTOK\""; CTOK2=$(val .access_token)
UUIDC=0b6f3e52-6d0a-4f0e-9a55-$RUN
call A8 -X POST $BASE/v1/products/$P/customers -u "$CID:$CSEC" -d email=$UUIDC -d no_password=true; ok 201 "tok and .scope==\"customer=$UUIDC\""; UUTOK=$(val .access_token)
call A9 "$BASE/v1/products/$P/customers?access_token=$PTOK"; ok 200 "(.customers|type)==\"array\" and ([.customers[]|select(.username==\"$CUST\")]|length)==0"
call A10 -X POST $BASE/v1/products/$P/customers -d access_token=$PTOK -d email=bearer-$RUN@company.com -d no_password=true; soft 201 'type=="object"'
call A17 "$BASE/v1/devices?access_token=$UUTOK"; ok 200 '.==[]'
if [ -n "$DEV" ]; then
call A4 -X POST $BASE/v1/products/$P/devices -d access_token=$PTOK -d id=$DEV; ok 200 '.updated==1 and .nonmemberDeviceIds==[] and .invalidDeviceIds==[]'
call A4again -X POST $BASE/v1/products/$P/devices -d access_token=$PTOK -d id=$DEV; ok 200 '.invalidDeviceIds==[]'
call A11 $BASE/v1/devices -d id=$DEV -d access_token=$CTOK; ok 200 "(.customer_id|hex(24)) and .product_id==$P and (.updated_at|iso) and .id==\"$DEV\" and .connected==true and .ok==true"
call A12 "$BASE/v1/products/$P/devices/$DEV?access_token=$PTOK"; ok 200 ".owner==\"$CUST\" and .product_id==$P"
call A13 "$BASE/v1/products/$P/customers?access_token=$PTOK"; ok 200 "[.customers[]|select(.username==\"$CUST\")|.devices[]]==[\"$DEV\"]"
call A14 "$BASE/v1/devices?access_token=$CTOK"; ok 200 "length==1 and .[0].id==\"$DEV\" and .[0].connected==true"
call A15 "$BASE/v1/devices/$DEV/counter?access_token=$CTOK"; ok 200 ".cmd==\"VarReturn\" and .name==\"counter\" and (.result|type)==\"number\" and .coreInfo.last_app==\"\" and (.coreInfo.last_heard|iso) and .coreInfo.connected==true and (.coreInfo.last_handshake_at|iso) and .coreInfo.deviceID==\"$DEV\" and .coreInfo.product_id==$P"
call A16 $BASE/v1/devices/events -d name=testEvent -d 'data=testing!' -d private=true -d access_token=$CTOK; ok 200 '.ok==true'
else for c in A4 A11 A12 A13 A14 A15 A16; do skip "$c [dev]"; done; fi
if [ -n "$ORG" ] && [ -n "$ORG_P" ]; then
call B1 -X POST -H "Authorization: Bearer $UTOK" -d name=MyApp -d type=installed -d organization=$ORG $BASE/v1/clients
ok 200 '.ok==true and .client.name=="MyApp" and .client.type=="installed" and (.client.id|test("^myapp-[0-9]{1,4}$")) and (.client.secret|hex(40)) and (.client.org_id|hex(24))'
BID=$(val .client.id); BSEC=$(val .client.secret); BC=user-email-$RUN@example.com
call B2 -X POST -u "$BID:$BSEC" -d email="$BC" -d password=password $BASE/v1/orgs/$ORG/customers; [ "$STATUS" = 201 ] && STATUS=200; ok 200 'tok and .expires_in==7776000'
call B3 -X POST -u "$BID:$BSEC" -d grant_type=client_credentials -d scope=customer=$BC $BASE/oauth/token; ok 200 "tok and .scope==\"customer=$BC\""; BTOK=$(val .access_token)
call B4 -X POST -H "Authorization: Bearer $BTOK" $BASE/v1/orgs/$ORG/products/$ORG_P/device_claims; ok 200 '(.claim_code|cc) and .device_ids==[]'
call B5 "$BASE/v1/products/$ORG_P/customers?access_token=$UTOK"; ok 200 "([.customers[]|select(.username==\"$BC\")]|length)==0"
else for c in B1 B2 B3 B4 B5; do skip "$c [org]"; done; fi
C=abu-$RUN@agrabahmonkeys.com
call C2 -X POST -u "$CID:$CSEC" -d email=$C -d no_password=true $BASE/v1/products/$PSLUG/customers; ok 201 'tok'
call C3 -u "$CID:$CSEC" -d grant_type=client_credentials -d scope=customer=$C $BASE/oauth/token; ok 200 'tok and .expires_in==7776000'; CT=$(val .access_token); CR=$(val .refresh_token)
call C4 -X POST -u "$CID:$CSEC" -d grant_type=refresh_token -d refresh_token=$CR $BASE/oauth/token; ok 200 "tok and .access_token!=\"$CT\""; CT2=$(val .access_token)
call C4b "$BASE/v1/devices" -H "Authorization: Bearer $CT2"; ok 200 '.==[]'
call C4c -X POST -u "$CID:$CSEC" -d grant_type=refresh_token -d refresh_token=$CR $BASE/oauth/token; ok 400 '.error=="invalid_grant" and .error_description=="Invalid refresh token"'
call C6 -u "$CID:$CSEC" -d grant_type=client_credentials -d scope=customer=$C -d expires_in=0 $BASE/oauth/token; ok 200 '.token_type=="bearer" and (.access_token|hex(40)) and .expires_in==0 and (has("refresh_token")|not)'
call C7a -X POST $BASE/v1/products/$P/clients -H "Authorization: Bearer $UTOK" -d name=SimpleMobile -d type=installed -d scope=customers:create; ok 200 '.ok==true and (.client.secret|hex(40))'; SID=$(val .client.id); SSEC=$(val .client.secret)
S=aladdin-$RUN@example.com
call C7 -X POST -u "$SID:$SSEC" -d email=$S -d password=open-sesame $BASE/v1/products/$P/customers; ok 201 'tok'
call C8 -u "$SID:$SSEC" -d grant_type=client_credentials -d scope=customer=$S $BASE/oauth/token; case $STATUS in 4*) STATUS=4xx;; esac; ok 4xx '.error'
call C8b -u "$SID:$SSEC" -d grant_type=client_credentials $BASE/oauth/token; ST=$(val '.access_token // "none"')
call C8c "$BASE/v1/products/$P/devices" -H "Authorization: Bearer $ST"; case $STATUS in 4*) STATUS=4xx;; esac; ok 4xx '.error'
call C9 -u "$SID:$SSEC" -d grant_type=password -d username=$S -d password=open-sesame $BASE/oauth/token; ok 200 'tok'; STK=$(val .access_token)
call C9b -u "$SID:$SSEC" -d grant_type=password -d username=$S -d password=wrong $BASE/oauth/token; ok 400 '.error=="invalid_grant" and .error_description=="User credentials are invalid"'
call C9c -u "$CID:$CSEC" -d grant_type=password -d username=$C -d password=x $BASE/oauth/token; ok 400 '.error=="invalid_grant"'
call C10 -X POST -H "Authorization: Bearer $STK" $BASE/v1/products/$PSLUG/device_claims; ok 200 '(.claim_code|cc) and .device_ids==[]'
call C11 $BASE/v1/products/$P/clients -H "Authorization: Bearer $UTOK"; ok 200 '.ok==true and (.clients|length)>=2 and all(.clients[]; has("secret")|not)'
call C12 -X POST -u "$CID:0000000000000000000000000000000000000000" -d email=x-$RUN@example.com -d no_password=true $BASE/v1/products/$P/customers; ok 400 '.error=="invalid_client" and .error_description=="Client credentials are invalid"'
call C13a -X POST $BASE/v1/products/$P/clients -H "Authorization: Bearer $UTOK" -d name=SimpleWeb -d type=web -d redirect_uri=https://app.example.com/setup -d scope=customers:create; ok 200 '.client.type=="web" and .client.redirect_uri=="https://app.example.com/setup"'; WID=$(val .client.id)
call C13 -X POST -d response_type=token -d client_id=$WID -d email=web-$RUN@example.com -d password=pw $BASE/v1/products/$P/customers
L=$(tr -d '\r' < "$T/head" | awk 'tolower($1)=="location:"{print $2}'); case "$STATUS $L" in 30[23]\ https://app.example.com/setup#token=????????????????????????????????????????*) STATUS=redirect;; esac; ok redirect ''
if [ -n "$DEV" ]; then
call C1 -X POST -H "Authorization: Bearer $CTOK" $BASE/v1/devices/$DEV/lightsOn -d arg=livingRoom; ok 200 ".id==\"$DEV\" and .last_app==\"\" and .connected==true and (.return_value|type)==\"number\""
call C14 "$BASE/v1/devices/$DEV/counter?access_token=$CTOK2"; ok 200 '(.result|type)=="number"'
else for c in C1 C14; do skip "$c [dev]"; done; fi
if [ -n "$DEV" ]; then
call D1a -X POST -H "Authorization: Bearer $PTOK" $BASE/v1/devices/$DEV/lightsOn -d arg=x; ok 403 '.error'
call D1b "$BASE/v1/devices/$DEV/counter?access_token=$PTOK"; ok 403 '.error'
call D2 -X POST -H "Authorization: Bearer $PTOK" $BASE/v1/products/$P/devices/$DEV/lightsOn -d arg=x; ok 200 '(.return_value|type)=="number"'
call D3 -H "Authorization: Bearer $PTOK" $BASE/v1/products/$P/devices/$DEV/counter; ok 200 '.cmd=="VarReturn"'
call D4 -H "Authorization: Bearer $UTOK" $BASE/v1/products/$P/devices/$DEV/counter; ok 200 '.cmd=="VarReturn"'
else for c in D1 D2 D3 D4; do skip "$c [dev]"; done; fi
call E15 -X POST $BASE/v1/products/$P/devices -d access_token=$CTOK -d id=${DEV:-0123456789abcdef01234567}; case $STATUS in 4*) STATUS=4xx;; esac; ok 4xx '.ok==false or .error'
call E16 -X POST "$BASE/v1/devices?id=0123456789abcdef01234567&access_token=$CTOK"; soft 400 '.ok==false and .errors==["data.deviceID is empty"]'
if [ -n "$DEV" ]; then
call E2 -X DELETE "$BASE/v1/products/$P/devices/$DEV/owner" -H "Authorization: Bearer $PTOK"; ok 200 '.ok==true'
call E2b "$BASE/v1/devices?access_token=$CTOK"; ok 200 '.==[]'
call E3 -X POST $BASE/v1/devices -d id=$DEV -d access_token=$UTOK; ok 200 '(.user_id|hex(24)) and .ok==true'
call E4 -X DELETE $BASE/v1/devices/$DEV -H "Authorization: Bearer $UTOK"; ok 200 '.ok==true'
call E5 -X POST $BASE/v1/devices -H "Authorization: Bearer $CTOK" -H 'content-type: application/json' -d "{\"id\":\"$DEV\",\"request_transfer\":false}"; ok 200 '(.customer_id|hex(24)) and .ok==true'
call E6 "$BASE/v1/devices/$DEV?access_token=$CTOK"; ok 200 ".id==\"$DEV\""
call E7 "$BASE/v1/devices/$DEV?access_token=$UTOK"; ok 403 '.error=="Permission Denied" and (.info|startswith("I didn'"'"'t recognize that device name or ID"))'
call E8 "$BASE/v1/devices?access_token=$UTOK"; ok 200 "all(.[]; .id!=\"$DEV\")"
call E9 "$BASE/v1/products/$P/devices?access_token=$UTOK"; ok 200 "any(.devices[]; .id==\"$DEV\")"
curl -sN -m 6 "$BASE/v1/products/$P/events/spark%2Fnope?access_token=$UTOK" -o $T/s1 -D $T/h1; CASE=E13-open; STATUS=$(awk 'NR==1{print $2}' $T/h1); head -c 5 $T/s1 | grep -q '^:ok' || STATUS=no-ok; ok 200 ''
else for c in E2 E3 E4 E5 E6 E7 E8 E9 E13 E17; do skip "$c [dev]"; done; fi
if [ -n "$DEV" ] && [ -n "$ORG" ] && [ -n "$ORG_P" ]; then
call E10a "$BASE/v1/orgs/$ORG/devices/$DEV?access_token=$UTOK"; ok 200 ".id==\"$DEV\""
call E10b "$BASE/v1/orgs/$ORG/devices/$DEV?access_token=$CTOK"; ok 404 ''
call E11 "$BASE/v1/orgs/$ORG/products/$ORG_P/devices/$DEV?access_token=$CTOK"; ok 404 ''
call E12 "$BASE/v1/orgs/$ORG/products/$ORG_P/devices?access_token=$UTOK"; ok 200 '.devices'
else for c in E10 E11 E12; do skip "$c [dev][org]"; done; fi
call R1 $BASE/v1/devices; ok 400 '.error=="invalid_request" and .error_description=="The access token was not found"'
call R2 -H "Authorization: Bearer 0123456789012345678901234567890123456789" $BASE/v1/devices; ok 401 '.error=="invalid_token" and .error_description=="The access token provided is invalid."'
call R3a $BASE/oauth/token -u particle:particle -d grant_type=password -d username=$USER_NAME --data-urlencode password=$USER_PW -d expires_in=1; ok 200 '.expires_in==1'; X=$(val .access_token); sleep 2.2
call R3 -H "Authorization: Bearer $X" $BASE/v1/devices; ok 401 '.error=="invalid_token" and .error_description=="The access token provided has expired."'
call R4 $BASE/oauth/token -u particle:particle -d grant_type=password -d username=$USER_NAME -d password=wrong; ok 400 '.error=="invalid_grant" and .error_description=="User credentials are invalid"'
call R4b $BASE/oauth/token -u particle:particle -d grant_type=password -d username=nobody-$RUN -d password=wrong; ok 400 '.error=="invalid_grant" and .error_description=="User credentials are invalid"'
call R5 $BASE/oauth/token -u particle:particle -d grant_type=password -d username=$USER_NAME --data-urlencode password=$USER_PW -d expires_in=3600; ok 200 'tok and .expires_in==3600'; X=$(val .access_token)
call R6 $BASE/oauth/token -u particle:particle -d grant_type=password -d username=$USER_NAME --data-urlencode password=$USER_PW -d expires_at=$(date -u -d '+10 days' +%F); ok 200 '.expires_in>8*86400 and .expires_in<=10*86400'
call R7 -u "$USER_NAME:$USER_PW" $BASE/v1/access_tokens; ok 200 "any(.[]; .token==\"$X\" and (.expires_at|iso) and (.client|type)==\"string\")"
call R8 -u "$USER_NAME:nope" $BASE/v1/access_tokens; ok 401 '.=={"ok":false,"errors":["Bad password"]}'
call R9 -u "nobody-$RUN:nope" $BASE/v1/access_tokens; ok 400 '.=={"ok":false,"errors":["Unknown user"]}'
call R10 -X DELETE $BASE/v1/access_tokens/$X; ok 200 '.ok==true'
call R10b -X DELETE -u "$USER_NAME:$USER_PW" $BASE/v1/access_tokens/$X; ok 200 '.ok==true'
call R10c -H "Authorization: Bearer $X" $BASE/v1/devices; ok 401 '.error=="invalid_token"'
PD='.error=="Permission Denied" and .info=="I didn'"'"'t recognize that device name or ID, try opening https://api.particle.io/v1/devices?access_token=undefined"'
A="Authorization: Bearer $UTOK"
call R11-get  -H "$A" $BASE/v1/devices/1234; ok 403 "$PD"
call R11-put  -H "$A" -X PUT -d name=blah $BASE/v1/devices/1234; ok 403 "$PD"
call R11-sig  -H "$A" -X PUT -H 'content-type: application/json' -d '{"signal":"1"}' $BASE/v1/devices/1234; ok 403 "$PD"
call R11-del  -H "$A" -X DELETE $BASE/v1/devices/1234; ok 403 "$PD"
call R11-fn   -H "$A" -X POST -d arg= $BASE/v1/devices/1234/toggle; ok 403 "$PD"
call R11-var  -H "$A" $BASE/v1/devices/1234/answer; ok 403 "$PD"
call R11-ping -H "$A" -X PUT -H 'content-type: application/json' -d '{}' $BASE/v1/devices/1234/ping; ok 403 "$PD"
call R12 -H "$A" -X POST -d id=123456 $BASE/v1/devices; ok 404 '.=={"ok":false,"errors":["device does not exist"]}'
call R18 -H "$A" -X POST -H 'content-type: application/json' -d '{"name":"particlerb-web-client","type":"web","redirect_uri":"https://example.com"}' $BASE/v1/clients; ok 200 '.ok==true and .client.name=="particlerb-web-client" and .client.type=="web" and .client.redirect_uri=="https://example.com" and (.client.secret|hex(40)) and (.client.id|test("^particlerb-web-client-[0-9]{1,4}$"))'; W=$(val .client.id)
call R18b -H "$A" $BASE/v1/clients; ok 200 ".ok==true and any(.clients[]; .id==\"$W\") and all(.clients[]; has(\"secret\")|not)"
call R19 -H "$A" -X DELETE $BASE/v1/clients/$W; ok 204 ''
call R20 -H "$A" $BASE/v1/products/999999; ok 404 '.=={"ok":false,"error":"Product not found."}'
call R21 -H "$A" -X POST -H 'content-type: application/json' -d '{"url":"https://example.com","event":"68c57e6752d5e0a5"}' $BASE/v1/webhooks; ok 201 '(.id|hex(24)) and .event=="68c57e6752d5e0a5" and (.created_at|iso) and .integration_type=="Webhook" and .url=="https://example.com" and .noDefaults==false and .rejectUnauthorized==true and .ok==true and (.id as $i | .hookUrl|endswith("/v1/webhooks/"+$i))'; H=$(val .id)
call R22 -H "$A" $BASE/v1/webhooks/$H; ok 200 '.webhook.logs==[] and .webhook.errors==[] and .webhook.url=="https://example.com"'
call R22b -H "$A" $BASE/v1/webhooks; ok 200 "any(.[]; .id==\"$H\" and .integration_type==\"Webhook\")"
call R23 -H "$A" -X DELETE $BASE/v1/webhooks/$H; ok 204 ''
call R23b -H "$A" -X DELETE $BASE/v1/webhooks/$H; ok 404 '.=={"ok":false,"error":"Webhook not found"}'
call R25 -H "$A" -X POST -H 'content-type: application/json' -d '{"name":"test","data":"abc","ttl":3600,"private":true}' $BASE/v1/devices/events; ok 200 '.=={"ok":true}'
call R26 -X POST "$BASE/v1/device_claims?access_token=$UTOK"; ok 200 '(.claim_code|cc) and (.device_ids|type)=="array"'
curl -sN -m 2 "$BASE/v1/devices/events/x-$RUN?access_token=$UTOK" -o $T/s2 -D $T/h2; CASE=R27; STATUS=$(awk 'NR==1{print $2}' $T/h2); [ "$(head -c 5 $T/s2 | od -An -c | tr -d ' ')" = ':ok\n\n' ] || STATUS=bad-first-bytes; grep -qi '^content-type: text/event-stream' $T/h2 || STATUS=bad-type; ok 200 ''
call R28 -H "$A" "$BASE/v1/devices?access_token=$UTOK"; ok 400 '.error=="invalid_request" and (.error_description|startswith("Only one method may be used"))'
if [ -n "$DEV" ]; then B="Authorization: Bearer $CTOK"
call R13 -H "$B" -X POST -d arg= $BASE/v1/devices/$DEV/blahblah; ok 404 '.=={"ok":false,"error":"Function blahblah not found"}'
call R14 -H "$B" $BASE/v1/devices/$DEV/blahblah; ok 404 '.=={"ok":false,"error":"Variable not found"}'
call R15 -H "$B" -X PUT -H 'content-type: application/json' -d '{"name":"fried"}' $BASE/v1/devices/$DEV; ok 200 ".name==\"fried\" and .id==\"$DEV\""
call R15b -H "$B" $BASE/v1/devices/fried; ok 200 ".id==\"$DEV\""
call R16 -H "$B" -X PUT -H 'content-type: application/json' -d '{"signal":"1"}' $BASE/v1/devices/$DEV; ok 200 ".=={\"id\":\"$DEV\",\"connected\":true,\"signaling\":true}"
call R16b -H "$B" -X PUT -d signal=0 $BASE/v1/devices/$DEV; ok 200 '.signaling==false'
call R17 -H "$B" -X PUT -H 'content-type: application/json' -d '{}' $BASE/v1/devices/$DEV/ping; ok 200 '.=={"online":true,"ok":true}'
else for c in R13 R14 R15 R16 R17; do skip "$c [dev]"; done; fi
call O1 $BASE/oauth/token -H 'content-type: application/json' -d '{"grant_type":"password"}'; ok 400 '.error=="invalid_request" and .error_description=="Method must be POST with application/x-www-form-urlencoded encoding"'
call O2 $BASE/oauth/token -u particle:particle -d grant_type=nonsense; ok 400 '.error=="invalid_request" and .error_description=="Invalid or missing grant_type parameter"'
call O3 $BASE/oauth/token -d grant_type=password; ok 400 '.error=="invalid_client" and .error_description=="Invalid or missing client_id parameter"'
call O4 $BASE/oauth/token -d grant_type=password -d client_id=particle; ok 400 '.error=="invalid_client" and .error_description=="Missing client_secret parameter"'
call O5 $BASE/oauth/token -u particle:nope -d grant_type=password; ok 400 '.error=="invalid_client" and .error_description=="Client credentials are invalid"'
call O6 $BASE/oauth/token -u particle:particle -d grant_type=password -d username=x; ok 400 '.error=="invalid_client" and .error_description=="Missing parameters. \"username\" and \"password\" are required"'
call O7 $BASE/oauth/token -u "$CID:$CSEC" -d grant_type=refresh_token; ok 400 '.error=="invalid_request" and .error_description=="No \"refresh_token\" parameter"'
call O8 $BASE/oauth/token -u particle:particle -d grant_type=refresh_token -d refresh_token=$PREF; ok 400 '.error=="invalid_grant" and .error_description=="Invalid refresh token"'
call O9 $BASE/oauth/token -H 'Authorization: Bearer null' -d client_id=particle -d client_secret=particle -d grant_type=password -d username=$USER_NAME --data-urlencode password=$USER_PW; ok 200 'tok'
call O10 -H 'Authorization: Basic eDp5' $BASE/v1/devices; ok 400 '.error_description=="Malformed auth header"'
call O11 -X POST -H 'content-type: application/json' -d "{\"access_token\":\"$UTOK\",\"name\":\"x\"}" $BASE/v1/devices/events; ok 400 '.error=="invalid_request"'
K='content-type: application/json'
call J1 -X POST $BASE/v1/products/$P/customers -d email=js-$RUN@example.com -d password=p -d grant_type=client_credentials --data-urlencode client_id=$CID -d client_secret=$CSEC; ok 201 'tok'
call J1b -X POST $BASE/v1/products/$P/customers -H 'Authorization: Bearer stale' -d email=js2-$RUN@example.com -d password=p -d grant_type=client_credentials --data-urlencode client_id=$CID -d client_secret=$CSEC; ok 201 'tok'
call J1c -X POST $BASE/v1/user/password-reset -H 'Authorization: Bearer stale' -H "$K" -d "{\"username\":\"$USER_NAME\"}"; ok 200 '.ok==true'
call J2 -H "$A" $BASE/v1/user; ok 200 ".username==\"$USER_NAME\""
call J3 -H "$A" $BASE/v1/access_tokens/current; ok 200 'has("expires_at") and (.client//.client_id)'
call J4 -H "$A" -H "$K" -X POST -d '{}' $BASE/v1/device_claims; ok 200 '(.claim_code|cc)'
call J5 -H "$A" "$BASE/v1/products/$P/devices?page=1&per_page=5&groups=a%2Cb&sortAttr=deviceName&sortDir=asc"; ok 200 '(.devices|type)=="array" and (.customers|type)=="array" and (.meta.total_pages|type)=="number"'
call J6 -H "$A" $BASE/v1/orgs; ok 200 '(.organizations|type)=="array"'
call J7 -H "$A" $BASE/v1/user/products; ok 200 "any(.products[]; .id==$P)"
call J8 -H "$A" -H "$K" -X POST -d '{"event":"e","deviceid":"","integration_type":"Webhook","url":"https://example.com"}' $BASE/v1/integrations; ok 201 '(.id // .integration.id) and .ok==true'; I=$(val '.id // .integration.id')
call J9 -H "$A" $BASE/v1/integrations/$I; ok 200 '.integration.event=="e"'
call J10 -H "$A" -X DELETE $BASE/v1/integrations/$I; ok 204 ''
call J11 -H "$A" -X DELETE $BASE/v1/access_tokens/current; ok 200 '.ok==true'
call J12 -H "$A" $BASE/v1/devices; ok 401 '.error=="invalid_token"'
call J13 -X OPTIONS -H 'Origin: http://x.example' -H 'Access-Control-Request-Method: POST' -H 'Access-Control-Request-Headers: authorization,x-particle-tool' $BASE/oauth/token; soft 204 ''
call J14 $BASE/v1/no-such-thing; case $STATUS in 4*) STATUS=4xx;; esac; ok 4xx '.error'
echo "passed $PASS failed $FAIL soft $SOFT skipped $SKIP"; [ $FAIL = 0 ]
