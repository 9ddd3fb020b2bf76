"""A trained network behind an API: `POST /predict`, with its description, health and metrics. ONNX Runtime computes.

Whatever a client sends gets an answer of 4xx with one sentence, or a prediction; a body is read only up to a limit.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import html
import json
import math
import time
from collections import Counter

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from distill_core.export.onnx_model import OnnxModel, onnx
from distill_core.export.trained import Trained

MAX_IMAGES = 256  # in one request
BYTES_A_PIXEL = 24  # of JSON, at most: "255.00000000000000, " and the brackets
BODY_SECONDS = 10.0  # in which a body must have come
AT_ONCE = 4  # images that are classified without another thread; more would hold up other requests
BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)  # seconds of a request


class Service:
    """A model and what was asked of it so far."""

    def __init__(self, trained: Trained) -> None:
        self.name, self.title = trained.name, trained.title
        self.classes = list(trained.dataset.class_names)
        self.shape = tuple(trained.dataset.image_shape)
        self.model = OnnxModel(onnx(trained))
        self.max_body = 1024 + MAX_IMAGES * math.prod(self.shape) * BYTES_A_PIXEL
        self.started = time.time()
        self.answers: Counter[int] = Counter()  # by status
        self.buckets: Counter[float] = Counter()  # requests by their seconds, each counted in the smallest that holds it
        self.images, self.seconds = 0, 0.0

    async def predict(self, request: Request) -> Response:
        """The classes of some images."""
        began = time.perf_counter()
        try:
            images = self.read(await self.body(request))
            logits = self.model.logits(images) if len(images) <= AT_ONCE else await run_in_threadpool(self.model.logits, images)
            self.images += len(images)
            response = self.answer({"model": self.name, "predictions": self.predictions(logits)})
        except HTTPException as error:
            response = self.answer({"error": error.detail}, status=error.status_code)
        except ClientDisconnect:
            response = Response(status_code=400)
        seconds = time.perf_counter() - began
        self.seconds += seconds
        self.buckets[next((bound for bound in BUCKETS if seconds <= bound), math.inf)] += 1
        self.answers[response.status_code] += 1
        return response

    def answer(self, content: dict, *, status: int = 200) -> Response:
        """JSON; what is wrong closes the connection, because the rest of a body that is too long was not read."""
        headers = {"connection": "close"} if status in (408, 413) else None
        return Response(json.dumps(content), status_code=status, headers=headers, media_type="application/json")

    async def body(self, request: Request) -> bytes:
        """The body, read up to its limit and for a limited time."""
        kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if kind != "application/json":
            raise HTTPException(415, f"the content type {_short(kind)} cannot be read; send application/json")
        too_long = f"the body is longer than {self.max_body:,} bytes, the most for {MAX_IMAGES} images; send fewer images in a request"
        if request.headers.get("content-length", "0").isdigit() and int(request.headers.get("content-length", "0")) > self.max_body:
            raise HTTPException(413, too_long)
        parts, size = [], 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if size > self.max_body:
                        raise HTTPException(413, too_long)
                    parts.append(part)
        except TimeoutError as error:
            raise HTTPException(408, f"the body had not come after {BODY_SECONDS:g} seconds; send the request again") from error
        return b"".join(parts)

    def read(self, body: bytes) -> np.ndarray:
        """The images `(N, D, H, W)` uint8 of a body. Raises `HTTPException` with one sentence for any other body."""
        depth, height, width = self.shape
        wanted = f'give {{"images": [...]}}, each image {depth} x {height} x {width} numbers from 0 to 255'
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is not JSON; {wanted}") from error
        if not isinstance(content, dict) or len({"images", "images_base64"} & content.keys()) != 1:
            raise HTTPException(422, f"the body has no list of images; {wanted}")
        if unknown := sorted(content.keys() - {"images", "images_base64"}):
            raise HTTPException(422, f"the field {_short(unknown[0])!r} is not known; {wanted}")
        ((name, images),) = content.items()
        if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
            count = f"{len(images)} images" if isinstance(images, list) else "something that is no list"
            raise HTTPException(422, f"{name} has {count}; give a list of 1 to {MAX_IMAGES} images")
        return self.from_base64(images) if name == "images_base64" else self.from_numbers(images, wanted)

    def from_numbers(self, images: list, wanted: str) -> np.ndarray:
        """Images as nested lists, or as one list of their numbers each."""
        try:
            found = np.array(images)
            if found.dtype.kind not in "iuf":
                raise ValueError(found.dtype)
        except (ValueError, TypeError, OverflowError) as error:
            raise HTTPException(422, f"the images are not all numbers, or differ in shape; {wanted}") from error
        if found[0].size != math.prod(self.shape) or (found.ndim > 2 and found.shape[-2:] != self.shape[-2:]):
            shape = " x ".join(map(str, found.shape[1:])) or "no list"
            raise HTTPException(422, f"an image has the shape {shape}; {wanted}")
        if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 255):
            raise HTTPException(422, f"a pixel is not a finite number from 0 to 255; {wanted}")
        return np.rint(found).astype(np.uint8).reshape(-1, *self.shape)

    def from_base64(self, images: list) -> np.ndarray:
        """Images as the base64 of their bytes."""
        size = math.prod(self.shape)
        blobs = []
        for image in images:
            try:
                blob = base64.b64decode(image, validate=True) if isinstance(image, str) else b""
            except (binascii.Error, ValueError):
                blob = b""
            if len(blob) != size:
                raise HTTPException(422, f"an image in images_base64 is not the base64 of {size:,} bytes; give one for each image")
            blobs.append(blob)
        return np.frombuffer(b"".join(blobs), np.uint8).reshape(-1, *self.shape)

    def predictions(self, logits: np.ndarray) -> list[dict]:
        """The class and the probabilities of each image."""
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        soft = powers / powers.sum(axis=1, keepdims=True)
        tops = logits.argmax(axis=1).tolist()
        rows = np.round(soft, 6).tolist()
        return [{"class": self.classes[top], "index": top, "probabilities": row} for top, row in zip(tops, rows, strict=True)]

    # --- about the service --------------------------------------------------------------------------------------------

    async def health(self, _: Request) -> Response:
        """Whether the model answers."""
        self.model.logits(np.zeros((1, *self.shape), np.uint8))
        return JSONResponse({"status": "ok", "model": self.name, "seconds": round(time.time() - self.started, 1)})

    async def metrics(self, _: Request) -> Response:
        """What was asked so far, in the text format of Prometheus."""
        lines = ["# TYPE predict_requests_total counter"]
        lines += [f'predict_requests_total{{status="{status}"}} {count}' for status, count in sorted(self.answers.items())]
        lines += ["# TYPE predict_images_total counter", f"predict_images_total {self.images}"]
        lines += ["# TYPE predict_seconds histogram"]
        below = 0
        for bound in (*BUCKETS, math.inf):
            below += self.buckets[bound]
            lines.append(f'predict_seconds_bucket{{le="{"+Inf" if bound == math.inf else bound}"}} {below}')
        lines += [f"predict_seconds_sum {self.seconds:.6f}", f"predict_seconds_count {below}"]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def description(self, _: Request) -> Response:
        """The service as OpenAPI 3.1."""
        return JSONResponse(self.openapi())

    async def docs(self, _: Request) -> Response:
        """The same for people, without anything from another server."""
        return HTMLResponse(self.page())

    def openapi(self) -> dict:
        """The description as a dictionary."""
        depth, height, width = self.shape
        pixels = {"type": "number", "minimum": 0, "maximum": 255}

        def rows(items: dict, count: int) -> dict:
            return {"type": "array", "items": items, "minItems": count, "maxItems": count}

        nested = rows(rows(rows(pixels, width), height), depth)
        flat = rows(pixels, depth * height * width)
        several = {"type": "array", "minItems": 1, "maxItems": MAX_IMAGES}
        as_numbers = {"images": {**several, "items": {"oneOf": [nested, flat]}}}
        as_bytes = {"images_base64": {**several, "items": {"type": "string", "contentEncoding": "base64"}}}
        asked = {
            "oneOf": [
                {"type": "object", "required": list(fields), "properties": fields, "additionalProperties": False}
                for fields in (as_numbers, as_bytes)
            ]
        }
        soft = rows({"type": "number", "minimum": 0, "maximum": 1}, len(self.classes))
        one = {"class": {"type": "string", "enum": self.classes}, "index": {"type": "integer"}, "probabilities": soft}
        found = {"type": "object", "properties": one, "required": list(one)}
        answer = {"type": "object", "properties": {"model": {"type": "string"}, "predictions": {"type": "array", "items": found}}}
        error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}

        def reply(about: str, schema: dict) -> dict:
            return {"description": about, "content": {"application/json": {"schema": schema}}}

        wrong = {400: "not JSON", 408: "the body came too slowly", 413: "the body is too long", 415: "no JSON", 422: "no such images"}
        predict = {
            "summary": "Classify images",
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {"200": reply("the classes", answer), **{str(code): reply(about, error) for code, about in wrong.items()}},
        }
        simple = {"responses": {"200": {"description": "OK"}}}
        return {
            "openapi": "3.1.0",
            "info": {"title": f"Distill Lab: {self.title}", "version": "1"},
            "paths": {
                "/predict": {"post": predict},
                "/health": {"get": {"summary": "Whether the model answers", **simple}},
                "/metrics": {"get": {"summary": "Requests so far, for Prometheus", **simple}},
            },
        }

    def page(self) -> str:
        """The description as HTML."""
        depth, height, width = self.shape
        schema = html.escape(json.dumps(self.openapi(), indent=1))
        example = html.escape(
            'curl -X POST -H "Content-Type: application/json" \\\n'
            f'  -d "$(python3 -c \'import json; print(json.dumps({{"images": [[0] * {depth * height * width}]}}))\')" ADDRESS/predict'
        )
        return (
            '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>body{{font:17px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;"
            "padding:0 1rem}pre{overflow:auto;padding:1rem;background:#8881;border-radius:8px}:root{color-scheme:light dark}</style>"
            f"<h1>{html.escape(self.title)}</h1><p><code>POST /predict</code> classifies 1 to {MAX_IMAGES} images of {depth} x {height} x "
            f"{width} numbers from 0 to 255, nested or in one row, or as <code>images_base64</code>. Classes: "
            f"{html.escape(', '.join(self.classes))}.</p><pre>{example}</pre><p>The answer has for each image its <code>class</code>, "
            "<code>index</code> and <code>probabilities</code>; what cannot be read gets 4xx with one sentence as <code>error</code>. "
            '<a href="/health">Health</a>, <a href="/metrics">metrics</a>, <a href="/openapi.json">OpenAPI</a>:</p>'
            f"<pre>{schema}</pre></html>"
        )


def make_app(trained: Trained) -> Starlette:
    """The service as an ASGI application."""
    trained.check_images("served")
    service = Service(trained)

    async def refuse(_: Request, error: HTTPException) -> Response:
        paths = "POST /predict, GET /health, /metrics, /docs, /openapi.json"
        return service.answer({"error": f"there is no such address or method ({error.status_code}); use {paths}"}, status=error.status_code)

    routes = [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/health", service.health),
        Route("/metrics", service.metrics),
        Route("/openapi.json", service.description),
        Route("/docs", service.docs),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: refuse})


def serve(trained: Trained, *, port: int, address: str) -> None:
    """Answer requests until the process is ended; logs go to standard error."""
    import uvicorn

    uvicorn.run(make_app(trained), host=address, port=port, access_log=False, log_level="info", server_header=False, timeout_keep_alive=30)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."
