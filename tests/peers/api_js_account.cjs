// particle-api-js, unmodified, through what people do with their account: profile, second factor, new name, new
// password, the end. Reads {url, user, password} as JSON from its argument, writes one JSON object to standard output.
// One-time codes are worked out here, as an authenticator app does it.
const crypto = require('crypto');
const Particle = require('particle-api-js');

const { url, user, password } = JSON.parse(process.argv[2]);
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

function totp(secret, ahead) {
	const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
	const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
	const counter = Buffer.alloc(8);
	counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + ahead));
	const digest = crypto.createHmac('sha1', key).update(counter).digest();
	const at = digest[19] & 15;
	return String((digest.readUInt32BE(at) & 0x7fffffff) % 1000000).padStart(6, '0');
}

async function main() {
	const particle = new Particle({ baseUrl: url });
	let auth = (await record('login', particle.login({ username: user, password }))).access_token;
	await record('setUserInfo', particle.setUserInfo({ accountInfo: { first_name: 'Ada' }, auth }));
	await record('getUserInfo', particle.getUserInfo({ auth }));
	await record('trackingIdentity', particle.trackingIdentity({ full: true, auth }));

	const begun = await record('enableMfa', particle.enableMfa({ auth }));
	await record('confirmWrong', particle.confirmMfa({ mfaToken: begun.mfa_token, otp: '000000', auth }));
	const otp = totp(begun.secret, -1);
	await record('confirmMfa', particle.confirmMfa({ mfaToken: begun.mfa_token, otp, invalidateTokens: true, auth }));
	await record('afterMfa', particle.getUserInfo({ auth }));

	const challenge = await record('loginWithMfa', particle.login({ username: user, password, tokenDuration: 60 }));
	await record('wrongOtp', particle.sendOtp({ mfaToken: challenge.mfa_token, otp: '000000' }));
	auth = (await record('sendOtp', particle.sendOtp({ mfaToken: challenge.mfa_token, otp: totp(begun.secret, 0) }))).access_token;
	await record('disableMfa', particle.disableMfa({ currentPassword: password, auth }));

	await record('changeUsername', particle.changeUsername({ username: `new.${user}`, currentPassword: password, auth }));
	const changed = { password: 'another horse', currentPassword: password, auth };
	await record('changeUserPassword', particle.changeUserPassword(changed));
	await record('loginAgain', particle.login({ username: `new.${user}`, password: 'another horse' }));
	await record('deleteWrong', particle.deleteUser({ password, auth }));
	await record('deleteUser', particle.deleteUser({ password: 'another horse', auth }));
	await record('afterDelete', particle.getUserInfo({ auth }));
}

main().then(
	() => process.stdout.write(JSON.stringify(answers), () => process.exit(0)),
	(error) => {
		console.error(error);
		process.exit(1);
	}
);
