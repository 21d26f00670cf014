"""A node that leads elsewhere: neither what is written nor a login goes there."""

import pytest
from aiohttp import web

from consumers.sinks.elasticsearch_cluster import NDJSON, open_cluster
from consumers.sinks.elasticsearch_settings import ElasticsearchSettings
from harvester.errors import PermanentError
from tests.unit.webserver import serving


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_s22_a_redirect_is_not_followed(status: int) -> None:
    async with serving(web.json_response({})) as elsewhere:
        leads = web.Response(status=status, headers={"Location": str(elsewhere.url)})
        async with serving(leads) as server:
            given = {"url": str(server.url), "user": "u", "password": "c4nary"}
            async with open_cluster(ElasticsearchSettings.model_validate(given)) as cluster:
                with pytest.raises(PermanentError, match="leads to another address") as caught:
                    await cluster.request("POST", "/_bulk", b"{}\n", kind=NDJSON)
            assert str(elsewhere.url) not in str(caught.value)
            assert len(server.seen) == 1
        assert elsewhere.seen == []
