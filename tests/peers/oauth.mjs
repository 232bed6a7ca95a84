// oauth4webapi, unmodified: code with PKCE, refresh, introspection, revocation, device grant. It prints one JSON line for
// each thing that a person has to do, and reads what came of it as one line.
import * as oauth from 'oauth4webapi';
import { createInterface } from 'node:readline';

const given = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const insecure = { [oauth.allowInsecureRequests]: true };

function say(message) {
	process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function person(message) {
	say(message);
	return (await lines.next()).value;
}

const issuer = new URL(given.issuer);
const server = await oauth.processDiscoveryResponse(
	issuer,
	await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
);
const client = { client_id: given.clientId };
const auth = given.clientSecret ? oauth.ClientSecretBasic(given.clientSecret) : oauth.None();

// Code with PKCE.
const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const url = new URL(server.authorization_endpoint);
url.search = new URLSearchParams({
	response_type: 'code',
	client_id: given.clientId,
	redirect_uri: given.redirectUri,
	state,
	code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
	code_challenge_method: 'S256',
});
const callback = new URL(await person({ open: url.href }));
const params = oauth.validateAuthResponse(server, client, callback, state);
let tokens = await oauth.processAuthorizationCodeResponse(
	server,
	client,
	await oauth.authorizationCodeGrantRequest(server, client, auth, params, given.redirectUri, verifier, insecure),
);
say({ token: tokens.access_token });

tokens = await oauth.processRefreshTokenResponse(
	server,
	client,
	await oauth.refreshTokenGrantRequest(server, client, auth, tokens.refresh_token, insecure),
);
say({ refreshed: tokens.access_token });

if (given.clientSecret) {
	const known = await oauth.processIntrospectionResponse(
		server,
		client,
		await oauth.introspectionRequest(server, client, auth, tokens.access_token, insecure),
	);
	say({ introspected: known });
}
await oauth.processRevocationResponse(
	await oauth.revocationRequest(server, client, auth, tokens.access_token, insecure),
);
say({ revoked: true });

// A device without a keyboard.
const begun = await oauth.processDeviceAuthorizationResponse(
	server,
	client,
	await oauth.deviceAuthorizationRequest(server, client, auth, new URLSearchParams(), insecure),
);
await person({ approve: begun.verification_uri_complete });
const granted = await oauth.processDeviceCodeResponse(
	server,
	client,
	await oauth.deviceCodeGrantRequest(server, client, auth, begun.device_code, insecure),
);
say({ deviceToken: granted.access_token });
process.exit(0);
