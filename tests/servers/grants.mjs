// Two grants that the provider leaves to its users: assertions (RFC 7523, section 2.1) and token exchange (RFC 8693).

import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';
import { buildTokenResponse, resolveRequestedResources } from 'oidc-provider/lib/helpers/grants.js';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:';
const TOLERANCE = 5;
const LONGEST = 3600;

export function registerGrants(provider, settings) {
  const grants = new Grants(provider, settings);
  const bearing = ['assertion', 'scope', 'resource'];
  provider.registerGrantType(JWT_BEARER, (ctx) => grants.jwtBearer(ctx), bearing, ['resource']);
  provider.registerGrantType(TOKEN_EXCHANGE, (ctx) => grants.tokenExchange(ctx), [
    'subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
    'requested_token_type', 'audience', 'resource', 'scope',
  ], ['audience', 'resource']);
}

class Grants {
  constructor(provider, { issuers, own }) {
    this.provider = provider;
    this.own = createLocalJWKSet(own);
    this.issuers = new Map(Object.entries(issuers).map(([issuer, jwks]) => [issuer, createLocalJWKSet(jwks)]));
  }

  async jwtBearer(ctx) {
    const { assertion, scope } = ctx.oidc.params;
    if (!assertion) throw new errors.InvalidRequest("missing required parameter 'assertion'");
    const { sub } = await this.assertion(assertion).catch((error) => {
      throw new errors.InvalidGrant(error.message);
    });
    const servers = await resolveRequestedResources(this.provider, ctx);
    await this.issue(ctx, { sub, scope: scope ?? 'read', server: only(servers) });
  }

  async tokenExchange(ctx) {
    const { params, client } = ctx.oidc;
    const subject = await this.presented('subject', params);
    const actor = params.actor_token ? await this.presented('actor', params) : { sub: client.clientId };
    const wanted = params.requested_token_type ?? `${TYPE}access_token`;
    if (wanted !== `${TYPE}access_token`) throw new errors.InvalidRequest('unsupported requested_token_type');
    const scope = params.scope ?? subject.scope ?? 'read';
    const held = new Set((subject.scope ?? scope).split(' '));
    const missing = scope.split(' ').filter((each) => !held.has(each));
    if (missing.length) throw new errors.InvalidScope('subject token has no such scope', missing.join(' '));
    params.resource ??= params.audience;
    const act = { sub: actor.sub, client_id: client.clientId, ...(subject.act && { act: subject.act }) };
    const server = only(await resolveRequestedResources(this.provider, ctx));
    await this.issue(ctx, { sub: subject.sub, scope, server, extra: { act }, until: subject.exp, type: wanted });
  }

  async presented(role, params) {
    const [token, type] = [params[`${role}_token`], params[`${role}_token_type`]];
    if (!token || !type) throw new errors.InvalidRequest(`${role}_token and ${role}_token_type are required`);
    try {
      if (type === `${TYPE}access_token`) return await this.accessToken(token);
      if (type === `${TYPE}jwt` || type === `${TYPE}id_token`) return await this.assertion(token);
    } catch (error) {
      throw new errors.InvalidRequest(`invalid ${role}_token: ${error.message}`);
    }
    throw new errors.InvalidRequest(`unsupported ${role}_token_type`);
  }

  async accessToken(value) {
    if (value.split('.').length === 3) {
      const options = { issuer: this.provider.issuer, typ: 'at+jwt', clockTolerance: TOLERANCE };
      return (await jwtVerify(value, this.own, options)).payload;
    }
    const found = await this.provider.AccessToken.find(value) ?? await this.provider.ClientCredentials.find(value);
    if (!found?.isValid) throw new Error('no such token');
    return { sub: found.accountId ?? found.clientId, scope: found.scope, exp: found.exp, act: found.extra?.act };
  }

  // Check an assertion as RFC 7523, section 3, has it, each to be used once.
  async assertion(value) {
    const { iss } = decodeJwt(value);
    const keys = this.issuers.get(iss);
    if (!keys) throw new Error('unknown issuer');
    const { payload } = await jwtVerify(value, keys, {
      issuer: iss,
      audience: [this.provider.issuer, `${this.provider.issuer}/token`],
      clockTolerance: TOLERANCE,
      requiredClaims: ['sub', 'exp', 'jti'],
    });
    const now = Date.now() / 1000;
    if (payload.exp > now + LONGEST) throw new Error('"exp" is too far ahead');
    if (payload.iat > now + TOLERANCE) throw new Error('"iat" is in the future');
    const unique = await this.provider.ReplayDetection.unique(iss, payload.jti, payload.exp + TOLERANCE);
    if (!unique) throw new Error('"jti" was used before');
    return payload;
  }

  async issue(ctx, { sub, scope, server, extra, until, type }) {
    const token = new this.provider.AccessToken({ accountId: sub, client: ctx.oidc.client, scope, extra });
    if (server) {
      const known = new Set(server.scope.split(' '));
      token.resourceServer = server;
      token.scope = scope.split(' ').filter((each) => known.has(each)).join(' ');
    }
    if (until) token.expiresIn = Math.min(token.expiration, until - Math.floor(Date.now() / 1000));
    ctx.oidc.entity('AccessToken', token);
    ctx.body = buildTokenResponse(this.provider, {
      accessToken: await token.save(),
      expiresIn: token.expiration,
      issuedTokenType: type,
      scope: token.scope,
      tokenType: token.tokenType,
    });
  }
}

function only(servers) {
  if (servers.length > 1) throw new errors.InvalidTarget('only a single resource indicator is supported');
  return servers[0];
}
