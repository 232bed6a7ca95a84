// @particle/softap-setup, unmodified, sets a device up: its steps and what it was told, as JSON on standard output.
'use strict';

const SoftAP = require('@particle/softap-setup');

const given = JSON.parse(process.argv[2]);

function call(softap, method, ...args) {
	return new Promise((resolve, reject) => {
		let isFirst = true;
		softap[method](...args, (error, result) => {
			// The client calls back twice for an answer with an error code: the first one counts.
			if (!isFirst) {
				return;
			}
			isFirst = false;
			if (error) {
				reject(error);
			} else {
				resolve(result);
			}
		});
	});
}

async function main() {
	const softap = new SoftAP({ protocol: given.protocol, host: given.host, port: given.port });
	const told = {};
	told.version = await call(softap, 'version');
	told.deviceInfo = await call(softap, 'deviceInfo');
	told.publicKey = await call(softap, 'publicKey');
	told.scan = await call(softap, 'scan');
	told.claimCode = await call(softap, 'setClaimCode', given.claimCode);
	told.configured = [];
	for (const network of given.networks) {
		told.configured.push(await call(softap, 'configure', network));
	}
	told.connect = await call(softap, 'connect', 0);
	process.stdout.write(JSON.stringify(told));
}

main().catch(error => {
	process.stderr.write(`${error.stack}\n`);
	process.exit(1);
});
