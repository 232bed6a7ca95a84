// particle-api-js, unmodified, through a customer's story. Reads {url, device, user, password} as JSON from its argument,
// writes one JSON object to standard output: for each call its status code and body.
const Particle = require('particle-api-js');

const { url, device, user, password } = JSON.parse(process.argv[2]);
const answers = {};

async function record(name, promise) {
	const answer = await promise;
	answers[name] = { statusCode: answer.statusCode, body: answer.body };
	return answer.body;
}

function timeout(ms, what) {
	return new Promise((_, reject) => setTimeout(() => reject(new Error(`timed out: ${what}`)), ms).unref());
}

async function main() {
	const particle = new Particle({ baseUrl: url });
	const owner = await record('login', particle.login({ username: user, password }));
	const auth = owner.access_token;
	const { products } = await record('listProducts', particle.listProducts({ auth }));
	const product = products[0].id;
	await record('getProduct', particle.getProduct({ product, auth }));
	const { client } = await record(
		'createOAuthClient',
		particle.createOAuthClient({ product, name: 'App', type: 'installed', auth })
	);
	await record('listOAuthClients', particle.listOAuthClients({ product, auth }));
	await record('addDeviceToProduct', particle.addDeviceToProduct({ deviceId: device, product, auth }));

	const app = new Particle({ baseUrl: url, clientId: client.id, clientSecret: client.secret });
	const customer = await record(
		'createCustomer',
		app.createCustomer({ email: 'jane@example.com', password: 'open sesame', product })
	);
	const token = customer.access_token;
	await record('customerLogin', app.login({ username: 'jane@example.com', password: 'open sesame' }));
	await record('claimDevice', app.claimDevice({ deviceId: device, auth: token }));
	await record('listDevices', app.listDevices({ auth: token }));
	await record('getDevice', app.getDevice({ deviceId: device, auth: token }));
	await record('getVariable', app.getVariable({ deviceId: device, name: 'counter', auth: token }));
	await record(
		'callFunction',
		app.callFunction({ deviceId: device, name: 'lightsOn', argument: 'kitchen', auth: token })
	);

	const stream = await app.getEventStream({ deviceId: 'mine', auth: token });
	const heard = new Promise((resolve, reject) => {
		stream.on('event', resolve);
		stream.on('error', reject);
	});
	await record('publishEvent', app.publishEvent({ name: 'greeting', data: 'na\u00efve \u2615', isPrivate: true, auth: token }));
	answers.event = await Promise.race([heard, timeout(10000, 'the event')]);
	stream.abort();

	const productStream = await particle.getEventStream({ product, auth });
	const tick = new Promise((resolve) => productStream.on('event', resolve));
	await app.callFunction({ deviceId: device, name: 'publish', argument: 'e13=hot', auth: token });
	answers.deviceEvent = await Promise.race([tick, timeout(10000, 'the device event')]);
	productStream.abort();

	await record('deleteAccessToken', app.deleteAccessToken({ token }));
	try {
		await app.listDevices({ auth: token });
		answers.afterDelete = { statusCode: 200 };
	} catch (error) {
		answers.afterDelete = { statusCode: error.statusCode, body: error.body };
	}
	try {
		await particle.getVariable({ deviceId: device, name: 'counter', auth });
		answers.ownersToken = { statusCode: 200 };
	} catch (error) {
		answers.ownersToken = { statusCode: error.statusCode, body: error.body };
	}
}

main().then(
	() => process.stdout.write(JSON.stringify(answers), () => process.exit(0)),
	(error) => {
		console.error(error);
		console.error(JSON.stringify(answers));
		process.exit(1);
	}
);
