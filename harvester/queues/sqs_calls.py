"""Calls of SQS. What a batch does is judged entry by entry, and what failed is repeated alone.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from harvester.aws import code_of, named
from harvester.errors import PermanentError, RefusedError, TransientError
from harvester.queues.sqs_pack import ENTRIES, LARGEST, Parcel

ATTEMPTS = 4
"""Times that an entry of a batch is tried before the caller hears of it."""
_PAUSE = 0.1
"""Seconds before the second attempt; doubled for each further one."""
_GONE = ("QueueDoesNotExist", "NonExistentQueue", "QueueDeletedRecently")
MADE_WITH = {
    "MessageRetentionPeriod": "1209600",  # 14 days, the most there is
    "MaximumMessageSize": str(LARGEST),
    "VisibilityTimeout": "60",
}

T = TypeVar("T")


class SqsCalls:
    """`where` is how messages call this queue."""

    def __init__(self, client: Any, where: str) -> None:
        self._client = client
        self._where = where

    async def find(self, name: str) -> str:
        """The address of a queue, "" when there is none."""
        try:
            return str((await self._client.get_queue_url(QueueName=name))["QueueUrl"])
        except (ClientError, BotoCoreError) as error:
            if code_of(error) in _GONE:
                return ""
            raise named(error, self._where) from error

    async def make(self, name: str) -> str:
        """The address of a queue that is made when there is none."""
        return str((await self._ask("create_queue", QueueName=name, Attributes=MADE_WITH))["QueueUrl"])

    async def attributes(self, url: str) -> Mapping[str, str]:
        """All there are."""
        return dict((await self._ask("get_queue_attributes", QueueUrl=url, AttributeNames=["All"]))["Attributes"])

    async def tags(self, url: str) -> Mapping[str, str]:
        return dict((await self._ask("list_queue_tags", QueueUrl=url)).get("Tags", {}))

    async def tag(self, url: str, name: str, value: str) -> None:
        await self._ask("tag_queue", QueueUrl=url, Tags={name: value})

    async def send(self, url: str, parcels: Sequence[Parcel]) -> None:
        """Returns = all are stored. They fit one batch. TransientError: some may not be; PermanentError: SQS refuses one."""
        refused = await self._batch("send_message_batch", url, [_entry(parcel) for parcel in parcels])
        if refused:
            raise PermanentError(f"{self._where}: {len(refused)} messages are refused: {next(iter(refused.values()))}")

    async def receive(self, url: str, most: int, wait: int, visibility: int) -> Sequence[Mapping[str, Any]]:
        """Up to `most` messages, [] after `wait` seconds without any; nobody else sees them for `visibility` seconds."""
        answer = await self._ask(
            "receive_message",
            QueueUrl=url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
            MessageAttributeNames=["All"],
        )
        found: Sequence[Mapping[str, Any]] = answer.get("Messages", [])
        return found

    async def delete(self, url: str, handles: Sequence[str]) -> None:
        """Returns = gone, or no longer ours: a handle that another receive made stale is ignored."""
        await asyncio.gather(
            *(self._batch("delete_message_batch", url, [{"ReceiptHandle": h} for h in some]) for some in tens(handles))
        )

    async def hide(self, url: str, handles: Sequence[str], seconds: int) -> set[str]:
        """Nobody else sees these for so long from now on. The handles of those that are no longer ours."""
        lost: set[str] = set()
        for some in tens(handles):
            entries = [{"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle in some]
            refused = await self._batch("change_message_visibility_batch", url, entries)
            lost.update(some[index] for index in refused)
        return lost

    async def _batch(self, operation: str, url: str, entries: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
        """Does all of them, and gives those that are refused for good, by index. TransientError: some were not done."""
        refused: dict[int, str] = {}
        todo, why = dict(enumerate(entries)), ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE * 2 ** (attempt - 1))
            asked = [{"Id": str(index), **entry} for index, entry in todo.items()]
            answer = await self._ask(operation, QueueUrl=url, Entries=asked)
            for failure in answer.get("Failed", []):
                why = f"{failure.get('Code', '')} {failure.get('Message', '')}"
                if failure.get("SenderFault") and "hrottl" not in why:  # Throttling, KmsThrottled, RequestThrottled
                    refused[int(failure["Id"])] = why
            done = {int(success["Id"]) for success in answer.get("Successful", [])}
            # An entry that the answer leaves out was not done.
            todo = {index: entry for index, entry in todo.items() if index not in done and index not in refused}
            if not todo:
                return refused
        raise TransientError(f"{self._where}: {len(todo)} of {len(entries)} entries failed {ATTEMPTS} times: {why}")

    async def _ask(self, operation: str, **parameters: object) -> Any:
        try:
            return await getattr(self._client, operation)(**parameters)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) in _GONE:
                raise RefusedError(
                    f"{self._where}: a queue of it was deleted while it was in use, and what it held is gone. Start again to "
                    f"make it anew, and let every source be read again: harvest coverage reset SOURCE"
                ) from error
            raise named(error, self._where) from error


def tens(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """What one batch takes."""
    return (items[at : at + ENTRIES] for at in range(0, len(items), ENTRIES))


def _entry(parcel: Parcel) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"MessageBody": parcel.body}
    if parcel.attributes:
        entry["MessageAttributes"] = dict(_typed(parcel.attributes.items()))
    return entry


def _typed(attributes: Iterable[tuple[str, str]]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for name, value in attributes:
        yield name, {"DataType": "String", "StringValue": value}
