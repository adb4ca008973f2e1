// oidc-provider on loopback, for tests. The first line of stdin is a JSON object of settings (see provider.mjs); one
// JSON line on stdout says where it listens; it ends when stdin does.
//
// In front of the provider stands what it does not offer itself:
// - a journal of all that clients ask of it, with the answers;
// - faults: answers of our own, delays and dropped connections, before or after the provider acted;
// - the telling apart of client_secret_basic and client_secret_post, each of which it takes for the other;
// - RFC 8414's well-known path, where it serves OpenID's only.

import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { makeProvider, mint } from './provider.mjs';

const OPENID = '/.well-known/openid-configuration';
const ALIAS = '/.well-known/oauth-authorization-server';
const BROWSER = /^\/(auth|interaction)(\/|$)/;
const INVALID_CLIENT = { error: 'invalid_client', error_description: 'client authentication failed' };

const settings = await firstLine(process.stdin);
const journal = [];
let faults = [];

const plain = http.createServer({ keepAliveTimeout: 60_000 });
// Whoever comes is let in: which certificates will do is the provider's to say.
const secure = https.createServer({
  ...settings.tls, requestCert: true, rejectUnauthorized: false, keepAliveTimeout: 60_000,
});
const [issuer, mtls] = await Promise.all([listen(plain, 'http'), listen(secure, 'https')]);
const provider = makeProvider(issuer, mtls, settings);
const act = provider.callback();
plain.on('request', serve);
secure.on('request', serve);
process.stdout.write(`${JSON.stringify({ ready: true, issuer, mtls, pid: process.pid })}\n`);

async function firstLine(stream) {
  const [line] = await once(createInterface({ input: stream }), 'line');
  stream.on('end', () => process.exit(0)).resume();
  return JSON.parse(line);
}

async function listen(server, scheme) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `${scheme}://127.0.0.1:${server.address().port}`;
}

async function serve(request, response) {
  try {
    const path = request.url.split('?')[0];
    if (path.startsWith('/__admin/')) return tell(response, await administer(request, path.slice(9)));
    if (BROWSER.test(path)) return await act(request, response);
    return await exchange(request, response, path);
  } catch (error) {
    console.error(error);
    return response.destroy();
  }
}

async function administer(request, what) {
  const body = await read(request);
  const asked = body ? JSON.parse(body) : null;
  switch (`${request.method} ${what}`) {
    case 'GET journal': return journal;
    case 'GET faults': return faults;
    case 'POST faults': return faults.push(asked);
    case 'POST mint': return mint(provider, asked);
    case 'DELETE all': journal.length = 0; faults = []; return null;
    default: throw new Error(`no such thing to administer: ${request.method} ${what}`);
  }
}

function tell(response, value) {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function exchange(request, response, path) {
  const body = await read(request);
  const form = Object.fromEntries(new URLSearchParams(body));
  const client = named(request, form);
  const certificate = request.socket.getPeerCertificate?.().fingerprint256 ?? null;
  const entry = { method: request.method, path, headers: request.headers, form, client, certificate, status: null };
  journal.push(entry);
  const fault = nextFault(path, client);
  if (fault && !fault.acted) await sleep(fault.delay * 1000);
  if (request.socket.destroyed) return;
  const inPlace = fault && !fault.acted && (fault.drop || fault.status);
  const answer = inPlace ? null : await provided(request, response, body, entry);
  if (fault?.acted) await sleep(fault.delay * 1000);
  if (fault?.drop) request.socket.destroy();
  else if (fault?.status) {
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    send(response, entry, fault);
  } else send(response, entry, answer);
}

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts).toString();
}

function named(request, form) {
  const [scheme, value] = (request.headers.authorization ?? '').split(' ');
  try {
    if (scheme.toLowerCase() === 'basic') {
      return decodeURIComponent(decoded(value).split(':')[0].replaceAll('+', ' '));
    }
    return form.client_id ?? JSON.parse(decoded(form.client_assertion?.split('.')[1])).sub ?? null;
  } catch {
    return null;
  }
}

function decoded(base64) {
  return Buffer.from(base64 ?? '', 'base64').toString();
}

function nextFault(path, client) {
  const index = faults.findIndex((fault) => fault.path === path && (fault.client ?? client) === client);
  if (index < 0) return null;
  const fault = faults[index];
  fault.times -= 1;
  if (fault.times === 0) faults.splice(index, 1);
  return fault;
}

// Let the provider act and keep its answer, so that what becomes of it is decided afterwards. Its headers are set.
async function provided(request, response, body, entry) {
  if (usesOtherMethod(request, entry)) {
    response.setHeader('content-type', 'application/json');
    if (request.headers.authorization) response.setHeader('www-authenticate', `Basic realm="${issuer}"`);
    return { status: 401, body: JSON.stringify(INVALID_CLIENT) };
  }
  if (entry.path === ALIAS) request.url = OPENID;
  request.body = body; // it takes a body from there when the stream has been read
  const parts = [];
  const written = new Promise((resolve) => {
    response.write = (part) => parts.push(Buffer.from(part));
    response.end = (part) => {
      if (part) parts.push(Buffer.from(part));
      resolve();
      return response;
    };
  });
  act(request, response);
  await written;
  delete response.write;
  delete response.end;
  return { status: response.statusCode, body: Buffer.concat(parts).toString() };
}

function usesOtherMethod(request, entry) {
  const method = settings.clients.find((client) => client.client_id === entry.client)?.token_endpoint_auth_method;
  const basic = request.headers.authorization !== undefined;
  return (method === 'client_secret_basic' && entry.form.client_secret !== undefined && !basic)
    || (method === 'client_secret_post' && basic);
}

function send(response, entry, { status, headers = {}, body }) {
  Object.assign(entry, { status, body });
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('content-length', Buffer.byteLength(body));
  response.statusCode = status;
  response.end(body);
}
