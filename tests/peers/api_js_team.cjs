// particle-api-js, unmodified, with a team: the owner invites a colleague, who listens to the organization and is taken
// out again. Reads {url, user, colleague, password, org, product} as JSON from its argument, writes one JSON object to
// standard output.
const Particle = require('particle-api-js');

const { url, user, colleague, password, org, product } = JSON.parse(process.argv[2]);
const answers = {};

async function record(name, promise) {
	try {
		const answer = await promise;
		answers[name] = { statusCode: answer.statusCode, body: answer.body };
		return answer.body;
	} catch (error) {
		answers[name] = { statusCode: error.statusCode, body: error.body, description: error.errorDescription };
		return error.body || {};
	}
}

async function main() {
	const particle = new Particle({ baseUrl: url });
	const auth = (await record('login', particle.login({ username: user, password }))).access_token;
	const theirs = (await record('colleagueLogin', particle.login({ username: colleague, password }))).access_token;

	await record('before', particle.getProduct({ product, auth: theirs }));
	await record('inviteTeamMember', particle.inviteTeamMember({ username: colleague, product, auth }));
	await record('listTeamMembers', particle.listTeamMembers({ product, auth: theirs }));
	await record('after', particle.getProduct({ product, auth: theirs }));

	const stream = await particle.getEventStream({ org, product, name: 'greet', auth: theirs });
	const heard = new Promise((resolve) => stream.on('event', resolve));
	await record('publishEvent', particle.publishEvent({ name: 'greeting', data: 'hello', product, auth }));
	answers.event = await heard;
	stream.abort();

	const hook = await record('createIntegration', particle.createIntegration({
		org, event: 'greeting', settings: { integration_type: 'Webhook', url: 'http://127.0.0.1:9/' }, auth
	}));
	await record('listIntegrations', particle.listIntegrations({ org, auth }));
	await record('deleteIntegration', particle.deleteIntegration({ org, integrationId: hook.id, auth }));

	await record('removeTeamMember', particle.removeTeamMember({ username: colleague, product, auth }));
	await record('removed', particle.getProduct({ product, auth: theirs }));
	process.stdout.write(JSON.stringify(answers));
	process.exit(0);
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
