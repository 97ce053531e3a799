"""The service, asked from Python: the same calls and the same matches as an index on this machine."""

import base64
import io
import json
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from PIL import Image

from lookalike.catalog.images import ImageSource
from lookalike.errors import ServiceError
from lookalike.search.match import Match
from lookalike.service.schemas import About, Added, Answer, Found, Health, Item

try:
    import httpx2
except ImportError:
    raise ServiceError("lookalike.Client needs httpx2: pip install 'lookalike[client]'") from None

#: The longest a refusal may make a client wait before it asks again, in seconds.
LONGEST_WAIT_S = 30.0


class Client:
    """One service; for many threads, and a context manager.

    >>> with Client("http://127.0.0.1:8000") as shop:                                       # doctest: +SKIP
    ...     shop.search(image="photo.jpg", words="in red", k=5, where="price < 50")
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        retries: int = 3,
    ):
        """Nothing is sent yet.

        Args:
            address: what `lookalike serve` printed.
            api_key: where the service asks for one.
            timeout_s: for each step of a request; connecting gets a sixth of it.
            retries: how often a service that is full (429) is asked again, when it says it can be.
        """
        self._address, self._retries = address.rstrip("/"), retries
        self._http = httpx2.Client(
            base_url=self._address,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(timeout_s, connect=timeout_s / 6),
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def search(
        self,
        *,
        image: ImageSource | Sequence[ImageSource] | None = None,
        item_id: str | Sequence[str] | None = None,
        words: str | None = None,
        region: tuple[float, float, float, float] | None = None,
        words_weight: float = 0.5,
        k: int = 10,
        offset: int = 0,
        where: str | None = None,
        group_by: str | None = None,
        thumbnails: bool = True,
    ) -> list[Match]:
        """What `Index.search` gives for the same question; dates among the attributes are text.

        Args:
            image: up to 8 pictures: files, bytes or open ones.
            item_id: an item of the index, or up to 16.
            words: a description.
            region: the part of the one picture to search with: left, top, right, bottom in shares of its size.
            words_weight: beside pictures: 0, pictures only, to 1, words only.
            k: how many matches, at most 100.
            offset: how many of the best to pass over.
            where: only items that fulfil this, e.g. "price < 50 and color = 'red'".
            group_by: a column; only the best item of each of its values.
            thumbnails: whether matches shall come with theirs.

        Raises:
            ServiceError: the service refuses (its sentence says why), is full or does not answer.
        """
        question = {
            "words": words, "item_id": [item_id] if isinstance(item_id, str) else item_id and list(item_id), "k": k,
            "where": where, "words_weight": words_weight, "offset": offset, "group_by": group_by,
            "thumbnails": thumbnails, "region": region,
        }  # fmt: skip
        said = {name: value for name, value in question.items() if value is not None}
        pictures = [image] if isinstance(image, ImageSource) else list(image or [])
        if pictures:
            said |= {"region": ",".join(map(repr, region))} if region is not None else {}
            said["thumbnails"] = str(thumbnails).lower()
            files = [("image", ("image", _bytes(picture))) for picture in pictures]
            answer = self._ask("POST", "/search", data=said, files=files)
        else:
            answer = self._ask("POST", "/search", json=said)
        return [_match(found) for found in Answer.model_validate_json(answer.content).matches]

    def similar(self, item_id: str, **more: Any) -> list[Match]:
        """What is like an item of the index, but not the item itself; `more` are arguments of `search`."""
        return self.search(item_id=item_id, **more)

    def item(self, item_id: str) -> dict[str, Any]:
        """The attributes of an item.

        Raises:
            ServiceError: there is none (its `status` is 404).
        """
        return Item.model_validate_json(self._ask("GET", _path(item_id)).content).attributes

    def add(self, item_id: str, image: ImageSource, attributes: Mapping[str, Any] | None = None) -> int:
        """Store an item, whole; one of its id is replaced. Returns how many items the index holds now.

        Raises:
            ServiceError: the service was started without --writable, or the picture or an attribute cannot be stored.
        """
        data = {"item_id": item_id, "attributes": json.dumps(attributes or {})}
        answer = self._ask("POST", "/items", data=data, files={"image": ("image", _bytes(image))})
        return Added.model_validate_json(answer.content).items

    def remove(self, item_id: str) -> bool:
        """Forget an item; returns whether there was one.

        Raises:
            ServiceError: the service was started without --writable.
        """
        try:
            self._ask("DELETE", _path(item_id))
        except ServiceError as error:
            if error.status == 404:
                return False
            raise
        return True

    def feedback(
        self, item_id: str, good: bool, *, query_item_id: str | None = None, words: str | None = None,
        score: float | None = None,
    ) -> None:  # fmt: skip
        """Thumbs up or down for a match of a question; between two items it can be trained on.

        Raises:
            ServiceError: the service was started without --feedback.
        """
        given = {"item_id": item_id, "good": good, "query_item_id": query_item_id, "words": words, "score": score}
        self._ask("POST", "/feedback", json={name: value for name, value in given.items() if value is not None})

    def about(self) -> About:
        """What the service can do, and what the columns of its index hold."""
        return About.model_validate_json(self._ask("GET", "/about").content)

    def health(self) -> Health:
        """Whether it answers, and how many items there are; never refused for being full."""
        return Health.model_validate_json(self._ask("GET", "/health").content)

    def _ask(self, method: str, path: str, **content: Any) -> httpx2.Response:
        for turn in range(self._retries + 1):
            try:
                answer = self._http.request(method, path, **content)
            except httpx2.TimeoutException:
                raise ServiceError(
                    f"{self._address} gave no answer in time; raise timeout_s, or ask for less"
                ) from None
            except httpx2.HTTPError as error:
                raise ServiceError(
                    f"{self._address} cannot be reached ({error}); is `lookalike serve` still running there?"
                ) from None
            if answer.status_code != 429 or turn == self._retries:
                break
            # Not all at the same moment: who was refused together shall not come back together.
            time.sleep(min(LONGEST_WAIT_S, _seconds(answer)) * random.uniform(1, 1.5))
        if answer.is_success:
            return answer
        raise ServiceError(f"{self._address} says: {_sentence(answer)}", answer.status_code)


def _bytes(picture: ImageSource) -> bytes:
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, Image.Image):
        encoded = io.BytesIO()
        shown = picture if picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else picture.convert("RGB")
        shown.save(encoded, "PNG", exif=picture.getexif())
        return encoded.getvalue()
    try:
        return Path(picture).read_bytes()
    except OSError as error:
        raise ServiceError(f"the picture {picture} cannot be read ({error.strerror}); name a file") from None


def _match(found: Found) -> Match:
    picture = None if found.thumbnail is None else base64.b64decode(found.thumbnail.partition(",")[2])
    return Match(found.rank, found.item_id, found.score, found.attributes, picture, found.probability)


def _path(item_id: str) -> str:
    return f"/items/{quote(item_id, safe='')}"


def _seconds(answer: httpx2.Response) -> float:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdecimal() else 1.0  # a proxy may say a date


def _sentence(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):  # not of ours: a proxy, another program
        return f"status {answer.status_code}, without a reason; is this address that of `lookalike serve`?"
