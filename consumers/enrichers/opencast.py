"""The enrichers of an Opencast: its settings and how they are opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from consumers.enrichers.episodes import Episodes, OnLookups
from consumers.protocols import Cache
from harvester.http import HttpSettings, open_http
from harvester.retry import Retry


class EpisodeSettings(BaseModel):
    """How episodes are looked up."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_by_name=True, validate_by_alias=True)

    expire: Annotated[
        int,
        Field(
            validation_alias=AliasChoices("HARVESTER_EPISODE_CACHE_EXPIRE", "EPISODE_CACHE_EXPIRE"),
            description="seconds an episode, or that there is none, stays cached",
            ge=1,
        ),
    ] = 900


@asynccontextmanager
async def open_episodes(
    engage: HttpSettings, settings: EpisodeSettings, cache: Cache, *, retry: Retry, on_lookups: OnLookups = lambda *_: None
) -> AsyncIterator[Episodes]:
    """Looks up episodes at the engage node that the actions come from."""
    async with open_http(engage, retry=retry) as http:
        episodes = Episodes(http, cache, ttl=timedelta(seconds=settings.expire), on_lookups=on_lookups)
        try:
            yield episodes
        finally:
            await episodes.end()
