import httpx, json
def test_it(server):
    print(server.issuer, server.mtls)
    c=server.clients
    for name,auth,data in [("basic",(c["basic"].client_id,c["basic"].secret),{}),("basic",None,{"client_id":"basic","client_secret":c["basic"].secret})]:
        r=httpx.post(server.token_endpoint,auth=auth,data={"grant_type":"client_credentials","resource":"https://api.test/jwt/ttl/7","scope":"read",**data}); print(r.status_code,r.text,r.headers)
    print(httpx.get(server.issuer+"/.well-known/oauth-authorization-server").text)
    print(server.journal())
    print(server.authorize(server.authorization_endpoint+"?client_id=web&response_type=code&scope=openid+offline_access+read&prompt=consent&state=x&resource=https://api.test/opaque"))
    r=httpx.post(server.token_endpoint,auth=("web",c["web"].secret),data={"grant_type":"refresh_token","refresh_token":server.mint(resources=["https://api.test/jwt/ttl/9"])}); print(r.status_code,r.text)
    assert 0
