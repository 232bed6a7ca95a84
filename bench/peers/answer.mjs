// What the Node peers without a database have in common: who holds which token, in a Map, and what belongs to whom.
// Their argument is a JSON object with
//   token     the one good token
//   customer  id of whom it acts for
//   device    the document that `GET /devices/:id` answers with, for its owner alone
//   devices   the documents that `GET /devices` answers with

export const { token, customer, device, devices } = JSON.parse(process.argv[2]);
const tokens = new Map([[token, { accountId: customer.id }]]);
export const lists = new Map([[customer.id, devices]]);
export const owned = new Map([[device.id, { document: device, owner: customer.id }]]);

export function whoIs(authorization) {
  return authorization?.startsWith("Bearer ") ? tokens.get(authorization.slice(7)) : undefined;
}
