// particle-api-js, unmodified: every public method once at least, against a running cloud. tsc checks the calls against
// the package's declarations (test_api_js_every.py runs it); here each answer is held to the type that the method
// declares. Reads its input as JSON from its argument, writes one JSON object to standard output.
import crypto from 'node:crypto';
import { createRequire } from 'node:module';
import Particle from 'particle-api-js';
import ts from 'typescript';

interface Input {
	url: string;
	user: string;
	password: string;
	product: number;
	client: [string, string];
	device: string; // online, of the product's platform, nobody's, in no product
	denied: string; // never seen
	runs: string; // online, with version 1 of the product's firmware
	firmware: Record<'1' | '2', string>; // base64
}
interface Called {
	method: string;
	status: number;
	problems: string[]; // where the answer is not as declared
	error?: unknown;
}

const input: Input = JSON.parse(process.argv[2]!);
const { url, user, password, product, device, denied, runs } = input;

// --- What the package declares

const declarations = createRequire(import.meta.url).resolve('particle-api-js').replace(/\.js$/, '.d.ts');
const program = ts.createProgram([declarations], { strict: true, skipLibCheck: true, module: ts.ModuleKind.NodeNext });
const types = program.getTypeChecker();

/** Of each public method what its promise is of. */
function methodsOf(file: string): Map<string, ts.Type> {
	const declared = program.getSourceFile(file)!.statements.find(ts.isClassDeclaration)!;
	const methods = new Map<string, ts.Type>();
	for (const member of declared.members) {
		if (!ts.isMethodDeclaration(member) || ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private) continue;
		const name = member.name.getText();
		if (name.startsWith('_')) continue;
		const answer = types.getSignatureFromDeclaration(member)!.getReturnType();
		methods.set(name, types.getAwaitedType(answer) ?? answer);
	}
	return methods;
}
const ofParticle = methodsOf(declarations);
const ofClient = methodsOf(declarations.replace('Particle.d.ts', 'Client.d.ts'));

/** Where `value` is not of `type`. Keys beyond the declared ones are as good as any. */
function misfits(value: unknown, type: ts.Type, path: string): string[] {
	const wrong = () => [`${path || 'answer'}: ${value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value} for ${types.typeToString(type)}`];
	if (type.flags & (ts.TypeFlags.Any | ts.TypeFlags.Unknown | ts.TypeFlags.TypeParameter)) return [];
	if (type.isUnion()) {
		const each = type.types.map((member) => misfits(value, member, path));
		if (each.some((problems) => problems.length === 0)) return [];
		// Of several objects the one that it comes nearest to says what is wrong.
		const deep = each.filter((problems) => problems.some((problem) => !problem.startsWith(`${path || 'answer'}:`)));
		return deep.length > 0 ? deep.sort((a, b) => a.length - b.length)[0]! : wrong();
	}
	if (type.isIntersection()) return [...new Set(type.types.flatMap((member) => misfits(value, member, path)))];
	if (type.isStringLiteral() || type.isNumberLiteral()) return value === type.value ? [] : wrong();
	if (type.flags & ts.TypeFlags.BooleanLiteral) return String(value) === types.typeToString(type) ? [] : wrong();
	if (type.flags & ts.TypeFlags.String) return typeof value === 'string' ? [] : wrong();
	if (type.flags & ts.TypeFlags.Number) return typeof value === 'number' ? [] : wrong();
	if (type.flags & ts.TypeFlags.Null) return value === null ? [] : wrong();
	if (type.flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Void)) return value === undefined ? [] : wrong();
	if (typeof value !== 'object' || value === null) return wrong();
	if (type.flags & ts.TypeFlags.NonPrimitive) return [];
	if (types.isArrayType(type)) {
		if (!Array.isArray(value)) return wrong();
		const element = types.getTypeArguments(type as ts.TypeReference)[0]!;
		return [...new Set(value.flatMap((item) => misfits(item, element, `${path}[]`)))];
	}
	const name = type.symbol?.name;
	if (name === 'Buffer') return Buffer.isBuffer(value) ? [] : wrong();
	if (name === 'ArrayBuffer') return value instanceof ArrayBuffer ? [] : wrong();
	if (Array.isArray(value)) return wrong();
	if (!(type.flags & ts.TypeFlags.Object)) throw new Error(`no check for ${types.typeToString(type)}`);
	const problems: string[] = [];
	const given = value as Record<string, unknown>;
	for (const property of type.getProperties()) {
		const wanted = types.getTypeOfSymbol(property);
		const at = `${path}.${property.name}`;
		if (given[property.name] !== undefined) problems.push(...misfits(given[property.name], wanted, at));
		else if (!(property.flags & ts.SymbolFlags.Optional)) problems.push(`${at}: missing`);
	}
	const index = type.getStringIndexType();
	if (index) for (const [key, item] of Object.entries(given)) {
		if (!type.getProperty(key)) problems.push(...misfits(item, index, `${path}.*`));
	}
	return problems;
}

// --- The calls

const calls: Called[] = [];

async function call<T>(method: string, answer: Promise<T>): Promise<T> {
	const declared = method.startsWith('Client.') ? ofClient.get(method.slice(7)) : ofParticle.get(method);
	if (!declared) throw new Error(`${method} is no method`);
	try {
		const value = await answer;
		const status = (value as { statusCode?: number }).statusCode ?? 200;
		calls.push({ method, status, problems: misfits(value, declared, '') });
		return value;
	} catch (error) {
		const failed = error as { statusCode?: number; body?: unknown; message?: string };
		calls.push({ method, status: failed.statusCode ?? 0, problems: [], error: failed.body ?? String(failed.message) });
		return { statusCode: failed.statusCode, body: failed.body ?? {} } as T;
	}
}

type Options<K extends keyof Particle> = Particle[K] extends (options: infer O) => unknown ? O : never;
type Answer<K extends keyof Particle> = Particle[K] extends (...options: never[]) => Promise<infer A> ? A : never;
/** `particle.method(options)`, by name. */
function on(particle: Particle) {
	return <K extends keyof Particle>(method: K, options: Options<K>): Promise<Answer<K>> =>
		call(method, (particle[method] as unknown as (o: Options<K>) => Promise<Answer<K>>).call(particle, options));
}

function totp(secret: string, ahead: number): string {
	const bits = [...secret].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
	const key = Buffer.from(bits.match(/.{8}/g)!.map((byte) => parseInt(byte, 2)));
	const counter = Buffer.alloc(8);
	counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + ahead));
	const digest = crypto.createHmac('sha1', key).update(counter).digest();
	return String((digest.readUInt32BE(digest[19]! & 15) & 0x7fffffff) % 1000000).padStart(6, '0');
}

const particle = new Particle({ baseUrl: url });
const does = on(particle);

async function account(): Promise<void> {
	const username = 'mate@example.com';
	await does('createUser', { username, password, accountInfo: { first_name: 'Ada' } });
	await does('resetPassword', { username });
	const logIn = async () => (await does('login', { username, password })).body.access_token;
	await does('deleteAccessToken', { token: await logIn() });
	await does('deleteCurrentAccessToken', { auth: await logIn() });
	await does('deleteActiveAccessTokens', { auth: await logIn() });
	let auth = await logIn();
	await does('setUserInfo', { accountInfo: { last_name: 'L' }, auth });
	await does('getUserInfo', { auth });
	await does('trackingIdentity', { full: true, auth });
	await does('changeUsername', { username: 'ada@example.com', currentPassword: password, auth });
	await does('changeUserPassword', { password: 'another horse', currentPassword: password, auth });
	const { mfa_token: mfaToken, secret } = (await does('enableMfa', { auth })).body;
	await does('confirmMfa', { mfaToken, otp: totp(secret!, -1), auth });
	const challenge = await particle.login({ username: 'ada@example.com', password: 'another horse' }).catch((e) => e.body);
	auth = (await does('sendOtp', { mfaToken: challenge.mfa_token, otp: totp(secret!, 0) })).body.access_token;
	await does('disableMfa', { currentPassword: 'another horse', auth });
	await does('inviteTeamMember', { product, username: 'ada@example.com', auth: await owner() });
	await does('listTeamMembers', { product, auth: await owner() });
	await does('removeTeamMember', { product, username: 'ada@example.com', auth: await owner() });
	await does('deleteUser', { password: 'another horse', auth });
}

let token: string | undefined;
async function owner(): Promise<string> {
	token ??= (await does('login', { username: user, password })).body.access_token;
	return token;
}

async function products(auth: string): Promise<void> {
	await does('listProducts', { auth });
	await does('getProduct', { product, auth });
	for (const where of [{}, { product }]) {
		const made = await does('createOAuthClient', { ...where, name: 'App', type: 'installed', auth });
		const clientId = ((made.body as unknown as { client?: { id: string } }).client ?? made.body).id;
		await does('listOAuthClients', { ...where, auth });
		await does('updateOAuthClient', { ...where, clientId, name: 'Better', auth });
		await does('deleteOAuthClient', { ...where, clientId, auth });
	}
	const app = new Particle({ baseUrl: url, clientId: input.client[0], clientSecret: input.client[1] });
	await call('loginAsClientOwner', app.loginAsClientOwner({}));
	const customer = await call('createCustomer', app.createCustomer({ email: 'jane@example.com', password: 'open sesame', product }));
	await does('getClaimCode', { product, auth: customer.body.access_token });
	await does('getClaimCode', { auth });
}

async function firmware(auth: string): Promise<void> {
	const file = Buffer.from(input.firmware[1], 'base64');
	await does('uploadProductFirmware', { product, file, version: 1, title: 'First', description: 'of all', auth });
	await does('listProductFirmware', { product, auth });
	await does('getProductFirmware', { product, version: 1, auth });
	await does('updateProductFirmware', { product, version: 1, title: 'One', auth });
	await does('downloadProductFirmware', { product, version: 1, auth });
	await does('addDeviceToProduct', { product, deviceId: runs, auth });
	await does('lockDeviceProductFirmware', { product, deviceId: runs, desiredFirmwareVersion: 1, auth });
	await does('unlockDeviceProductFirmware', { product, deviceId: runs, auth });
	await does('releaseProductFirmware', { product, version: 1, product_default: true, auth });
	await does('flashDevice', { product, deviceId: runs, files: { file: Buffer.from(input.firmware[2], 'base64') }, auth });
}

async function devices(auth: string): Promise<void> {
	await does('claimDevice', { deviceId: device, auth });
	await does('addDeviceToProduct', { product, file: Buffer.from(`${device}\n${denied}\n`), auth });
	await does('listDevices', { auth });
	await does('listDevices', { product, deviceName: '', groups: [], sortAttr: 'deviceId', sortDir: 'asc', page: 1, perPage: 5, auth });
	for (const where of [{ deviceId: device }, { deviceId: device, product }]) {
		await does('renameDevice', { ...where, name: 'lamp', auth });
		await does('setDeviceNotes', { ...where, notes: 'on the shelf', auth });
		await does('updateDevice', { ...where, name: 'light', notes: 'in the hall', auth });
		await does('getDevice', { ...where, auth });
		await does('signalDevice', { ...where, signal: true, auth });
		await does('getVariable', { ...where, name: 'counter', auth });
		await does('callFunction', { ...where, name: 'lightsOn', argument: 'kitchen', auth });
	}
	await does('markAsDevelopmentDevice', { deviceId: device, product, development: true, auth });
	await does('getProductLocations', { product, groups: ['a', 'b'], page: 1, perPage: 5, auth });
	await does('getProductDeviceLocations', { product, deviceId: device, auth });
	await does('lookupSerialNumber', { serialNumber: 'SERIAL1', auth });
	const { publicKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 1024 });
	const key = publicKey.export({ type: 'spki', format: 'pem' }).toString();
	await does('sendPublicKey', { deviceId: denied, key, algorithm: 'rsa', auth });
	await does('provisionDevice', { productId: product, auth });
	await does('unprotectDevice', { deviceId: device, action: 'prepare', auth });
	await does('downloadManufacturingBackup', { deviceId: device, auth });
}

async function events(auth: string): Promise<void> {
	for (const where of [{}, { product }]) {
		const stream = await particle.getEventStream({ ...('product' in where ? where : { deviceId: 'mine' }), auth });
		const heard = new Promise<object>((resolve, reject) => {
			stream.on('event', resolve);
			setTimeout(() => reject(new Error('no event')), 10000).unref();
		});
		await does('publishEvent', { ...where, name: 'greeting', data: 'hello', isPrivate: true, auth });
		calls.push({ method: 'getEventStream', status: 200, problems: misfits(await heard, eventData(), '') });
		stream.abort();
	}
}

function eventData(): ts.Type {
	const source = program.getSourceFile(declarations.replace('Particle.d.ts', 'types/responses.d.ts'))!;
	const declared = source.statements.find((each) => ts.isInterfaceDeclaration(each) && each.name.text === 'EventData');
	return types.getTypeAtLocation(declared!);
}

async function integrations(auth: string): Promise<void> {
	for (const where of [{}, { product }]) {
		const hook = await does('createWebhook', { ...where, event: 'a', url: 'https://example.com/', auth });
		await does('listWebhooks', { ...where, auth });
		await does('deleteWebhook', { ...where, hookId: hook.body.id, auth });
		const settings = { integration_type: 'Webhook', url: 'https://example.com/', requestType: 'POST' };
		const made = await does('createIntegration', { ...where, event: 'a', settings, auth });
		await does('listIntegrations', { ...where, auth });
		const integrationId = made.body.id;
		await does('editIntegration', { ...where, integrationId, event: 'b', settings, auth });
		await does('deleteIntegration', { ...where, integrationId, auth });
	}
}

async function others(auth: string): Promise<void> {
	await does('listSIMs', { auth });
	await does('listSIMs', { product, auth });
	await does('checkSIM', { iccid: '8934076500002589174', auth });
	await does('getSIMDataUsage', { iccid: '8934076500002589174', auth });
	await does('getFleetDataUsage', { product, auth });
	await does('removeSIM', { iccid: '8934076500002589174', auth });
	await does('listBuildTargets', { onlyFeatured: true, auth });
	await does('listDeviceOsVersions', { platformId: 6, auth });
	await does('getDeviceOsVersion', { version: '6.2.0', auth });
	await does('compileCode', { files: { 'a.ino': Buffer.from('void loop() {}') }, platformId: 6, auth });
	await does('downloadFirmwareBinary', { binaryId: '0123456789abcdef01234567', auth });
	await does('downloadFile', { uri: `${url}/version` });

	await does('listLibraries', { auth });
	await does('getLibrary', { name: 'neopixel', auth });
	await does('getLibraryVersions', { name: 'neopixel', auth });
	await does('contributeLibrary', { archive: Buffer.from('no archive'), auth });
	await does('publishLibrary', { name: 'neopixel', auth });
	await does('deleteLibrary', { name: 'neopixel', auth });

	await does('getProductConfiguration', { product, auth });
	await does('getProductConfigurationSchema', { product, auth });
	await does('getProductDeviceConfiguration', { product, deviceId: device, auth });
	await does('getProductDeviceConfigurationSchema', { product, deviceId: device, auth });
	await does('setProductConfiguration', { product, config: { a: 1 }, auth });
	await does('setProductDeviceConfiguration', { product, deviceId: device, config: { a: 1 }, auth });

	const source = { type: 'JavaScript', code: '1' } as const;
	const logicFunctionId = 'f';
	await does('executeLogic', { logic: { source }, auth });
	await does('createLogicFunction', { logicFunction: { name: 'f', source }, auth });
	await does('getLogicFunction', { logicFunctionId, auth });
	await does('updateLogicFunction', { logicFunctionId, logicFunction: { name: 'g' }, auth });
	await does('deleteLogicFunction', { logicFunctionId, auth });
	await does('listLogicFunctions', { todayStats: true, auth });
	await does('listLogicRuns', { logicFunctionId, auth });
	await does('getLogicRun', { logicFunctionId, logicRunId: 'r', auth });
	await does('getLogicRunLogs', { logicFunctionId, logicRunId: 'r', auth });

	const [ledgerName, scopeValue] = ['l', device];
	await does('createLedger', { ledger: { name: 'l', scope: 'Owner', direction: 'Upstream' }, auth });
	await does('getLedger', { ledgerName, auth });
	await does('updateLedger', { ledgerName, ledger: { description: 'd' }, auth });
	await does('archiveLedger', { ledgerName, auth });
	await does('listLedgers', { auth });
	await does('getLedgerInstance', { ledgerName, scopeValue, auth });
	await does('setLedgerInstance', { ledgerName, scopeValue, instance: { data: { a: 1 } }, setMode: 'Merge', auth });
	await does('deleteLedgerInstance', { ledgerName, scopeValue, auth });
	await does('listLedgerInstances', { ledgerName, auth });
	await does('listLedgerInstanceVersions', { ledgerName, scopeValue, auth });
	await does('getLedgerInstanceVersion', { ledgerName, scopeValue, version: '1', auth });

	for (const where of [{ sandbox: true }, { product }, { deviceId: device }]) {
		await does('listEnvVars', { ...where, auth });
		await does('updateEnvVars', { ...where, ops: [{ op: 'Set', key: 'A', value: '1' }], auth });
		await does('setEnvVar', { ...where, key: 'A', value: '1', auth });
		await does('deleteEnvVar', { ...where, key: 'A', auth });
		await does('renderEnvVars', { ...where, auth });
		await does('reviewEnvVarsRollout', { ...where, auth });
		await does('startEnvVarsRollout', { ...where, when: 'Connect', auth });
	}

	await does('get', { uri: '/v1/user', auth });
	await does('head', { uri: '/v1/sims/8934076500002589174', auth });
	await does('post', { uri: '/v1/devices/events', data: { name: 'b' }, auth });
	await does('put', { uri: `/v1/devices/${device}/ping`, data: {}, auth });
	await does('patch', { uri: '/v1/libraries/neopixel', data: {}, auth });
	await does('delete', { uri: '/v1/access_tokens/0123456789012345678901234567890123456789', auth });
	await does('request', { uri: '/v1/user', method: 'get', auth });

	const client = particle.client({ auth });
	await call('Client.listDevices', client.listDevices());
	await call('Client.signalDevice', client.signalDevice({ signal: false, deviceId: device }));
	await call('Client.listBuildTargets', client.listBuildTargets());
	await call('Client.trackingIdentity', client.trackingIdentity({ full: true }));
}

async function main(): Promise<void> {
	const auth = await owner();
	await products(auth);
	await devices(auth);
	await events(auth);
	await integrations(auth);
	await others(auth);
	await firmware(auth);
	await does('removeDeviceOwner', { product, deviceId: device, auth });
	await does('removeDevice', { product, deviceId: denied, deny: true, auth });
	await does('claimDevice', { deviceId: device, auth });
	await does('removeDevice', { deviceId: device, auth });
	await account();
	const methods = [...ofParticle.keys(), ...[...ofClient.keys()].map((name) => `Client.${name}`)];
	process.stdout.write(JSON.stringify({ methods, calls }), () => process.exit(0));
}

main().catch((error) => {
	console.error(error, calls);
	process.exit(1);
});
