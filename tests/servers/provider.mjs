// The provider and its clients. Settings: `clients` (RFC 7591 metadata), `jwks` (the server's private keys), `own` (its
// public ones), `issuers` (issuer → public JWKS of whom assertions are taken from), `claims` (put into every access
// token), `tls` (key and certificate of the https side, and `ca`, whose client certificates are trusted).

import { Provider, errors } from 'oidc-provider';

import { registerGrants } from './grants.mjs';
import { adapter } from './store.mjs';

const RESOURCE = /^https:\/\/api\.test\/(jwt|opaque)(?:\/ttl\/(\d+))?(?:\/|$)/;
const SCOPE = 'read write admin';
const LIFETIME = 600;

// A resource's URL says what its tokens are like: https://api.test/{jwt|opaque}[/ttl/SECONDS][/anything].
function resourceServer(resource) {
  const [, format, lifetime] = RESOURCE.exec(resource) ?? [];
  if (!format) throw new errors.InvalidTarget(`unknown resource ${resource}`);
  return {
    scope: SCOPE,
    audience: resource,
    accessTokenTTL: Number(lifetime ?? LIFETIME),
    accessTokenFormat: format,
    jwt: { sign: { alg: 'ES256' } },
  };
}

export function makeProvider(issuer, mtls, settings) {
  const provider = new Provider(issuer, {
    adapter,
    clients: settings.clients,
    jwks: settings.jwks,
    clockTolerance: 5,
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
      'tls_client_auth', 'self_signed_tls_client_auth', 'none',
    ],
    enabledJWA: { clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] },
    scopes: ['openid', 'offline_access', 'email', ...SCOPE.split(' ')],
    claims: { openid: ['sub'], email: ['email'] },
    discovery: {
      mtls_endpoint_aliases: {
        token_endpoint: `${mtls}/token`,
        revocation_endpoint: `${mtls}/token/revocation`,
        introspection_endpoint: `${mtls}/token/introspection`,
      },
    },
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      mTLS: {
        enabled: true, certificateBoundAccessTokens: true, tlsClientAuth: true, selfSignedTlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.(),
        certificateAuthorized: (ctx) => ctx.socket.authorized === true,
        certificateSubjectMatches,
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => resourceServer(resource),
        useGrantedResource: () => true,
      },
    },
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    extraTokenClaims: (ctx, token) => ({ ...settings.claims, ...token.extra }),
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub, email: `${sub}@people.test` }) }),
    ttl: {
      AccessToken: lifetimeOf, ClientCredentials: lifetimeOf, IdToken: LIFETIME,
      Grant: 86_400, Interaction: LIFETIME, RefreshToken: 86_400, Session: 86_400,
    },
  });
  registerGrants(provider, settings);
  return provider;
}

function lifetimeOf(ctx, token) {
  return token.resourceServer?.accessTokenTTL ?? LIFETIME;
}

function certificateSubjectMatches(ctx, property, expected) {
  const certificate = ctx.socket.getPeerX509Certificate();
  if (property === 'tls_client_auth_san_dns') return certificate.checkHost(expected, { subject: 'never' }) === expected;
  // RFC 4514 begins with the last of the names, and Node with the first.
  return certificate.subject.split('\n').reverse().join(',') === expected;
}

// Make the refresh token of a session that nobody had to begin in a browser.
export async function mint(provider, { client_id, sub, scope, resources }) {
  const client = await provider.Client.find(client_id);
  const grant = new provider.Grant({ accountId: sub, clientId: client_id });
  grant.addOIDCScope(scope);
  for (const resource of resources) grant.addResourceScope(resource, scope);
  const token = new provider.RefreshToken({
    accountId: sub,
    client,
    grantId: await grant.save(),
    gty: 'authorization_code',
    resource: resources.length > 1 ? resources : resources[0],
    rotations: 0,
    scope,
  });
  return { refresh_token: await token.save() };
}
