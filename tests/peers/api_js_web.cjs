// particle-api-js and @particle/softap-setup, unmodified, as an app that knows nothing but its client id takes a customer
// from signing up to a device that answers. Reads {url, clientId, product, softap} as JSON from its argument, writes one
// JSON object to standard output.
const Particle = require('particle-api-js');
const SoftAP = require('@particle/softap-setup');

const { url, clientId, product, softap, network } = JSON.parse(process.argv[2]);
const email = 'kim@example.com';
const password = 'correct horse battery';

const told = (softapClient, method, ...args) =>
	new Promise((resolve, reject) =>
		softapClient[method](...args, (error, result) => (error ? reject(error) : resolve(result)))
	);
const outcome = (promise) => {
	const short = ({ statusCode, body }) => ({ statusCode, body });
	return promise.then(short, short);
};

async function main() {
	const app = new Particle({ baseUrl: url, clientId, clientSecret: undefined });
	const created = await outcome(app.createCustomer({ email, password, product }));
	const auth = created.body.access_token;
	const again = await outcome(app.createCustomer({ email, password, product }));
	const noTeam = await outcome(app.listProducts({ auth }));
	const noList = await outcome(app.listDevices({ product, auth }));

	const claim = (await app.getClaimCode({ product, auth })).body;

	const device = new SoftAP(softap);
	const { id } = await told(device, 'deviceInfo');
	await told(device, 'publicKey');
	await told(device, 'setClaimCode', claim.claim_code);
	await told(device, 'configure', network);
	await told(device, 'connect', 0);

	// As set-up apps do: one whose id was not among `device_ids` has come.
	const deadline = Date.now() + 20000;
	let polls = 0;
	let found;
	while (!found && Date.now() < deadline) {
		polls += 1;
		const { body } = await app.listDevices({ auth });
		found = body.find((each) => !claim.device_ids.includes(each.id) && each.connected);
		if (!found) await new Promise((resolve) => setTimeout(resolve, 50));
	}
	const called = found && (await app.callFunction({ deviceId: found.id, name: 'brew', argument: '5', auth })).body;

	// The next day: signed in by the web client's id, the device still there.
	const tomorrow = new Particle({ baseUrl: url, clientId, clientSecret: undefined });
	const login = await outcome(tomorrow.login({ username: email, password }));
	const answer = { created, again, noTeam, noList, claim, setUp: id, polls, found, called, login };
	process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

main().catch((error) => {
	process.stderr.write(`${error.stack || JSON.stringify(error)}\n`);
	process.exit(1);
});
