"""A learner without a browser: a real websocket client that speaks the protobuf messages of Streamlit 1.67.

    with Learner("http://127.0.0.1:8501") as learner:
        learner.open("race", query="dataset=digits")
        learner.set("alpha", 0.5)      # a widget by its key or its label; of a pull-down menu, the text of the option
        learner.press("Train")
        while learner.is_live:
            seconds = learner.update()  # as the charts of a race do it; where there are none, as `tick`:
            seconds = learner.tick()   # as a browser does it: waits until the fragment is due, asks, waits for its end
        assert not learner.errors

It sends what a browser sends: the values of all widgets of the page, and the token of the browser. `set` checks nothing,
so that a test can also send what no browser would. One learner belongs to one thread.
"""

from __future__ import annotations

import http.cookiejar
import json
import secrets
import time
import urllib.request
from dataclasses import dataclass, field

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from pages.server.identity import COOKIE

TIMEOUT = 120.0  # seconds that a run of a page may take: a machine that does much else needs a minute for the first
VALUE_FIELDS = {  # of WidgetState, by the kind of element
    "selectbox": "string_value", "radio": "string_value", "text_input": "string_value", "text_area": "string_value",
    "multiselect": "string_array_value", "button_group": "string_array_value", "slider": "double_array_value",
    "number_input": "double_value", "checkbox": "bool_value", "button": "trigger_value", "download_button": "trigger_value",
    "bidi_component": "json_value", "file_uploader": "file_uploader_state_value", "dataframe": "string_value",
}  # fmt: skip


@dataclass
class Widget:
    """An input of the page: its kind, as Streamlit calls it, its protobuf element, and the value that is sent for it."""

    kind: str
    element: object
    value: object = None
    block: bool = False

    @property
    def id(self) -> str:
        return self.element.id

    @property
    def key(self) -> str:
        """The key that the page gave it; "None" without one."""
        return self.id.split("-", maxsplit=2)[-1]

    @property
    def label(self) -> str:
        return getattr(self.element, "label", "")

    @property
    def options(self) -> list[str]:
        """The texts to choose from, if it has any."""
        return [getattr(option, "content", option) for option in getattr(self.element, "options", ())]

    @property
    def field(self) -> str:
        """The field of a WidgetState for its value."""
        is_select_slider = self.kind == "slider" and self.options
        return "string_array_value" if is_select_slider else "bool_value" if self.block else VALUE_FIELDS[self.kind]


@dataclass
class _Fragment:
    interval: float
    due: float


@dataclass
class Shown:
    """What the page shows: by the path of each element, its kind and its protobuf."""

    elements: dict[tuple, tuple[str, object]] = field(default_factory=dict)

    def of(self, *kinds: str) -> list:
        return [element for kind, element in self.elements.values() if kind in kinds]


class Learner:
    """One learner with one open page of the lab at `address`."""

    def __init__(self, address: str, *, token: str | None = None) -> None:
        self.address = address.rstrip("/")
        self.token = token or secrets.token_hex(16)
        self.query = self.page_hash = self.session = ""
        self.widgets: dict[str, Widget] = {}  # by id
        self._known: dict[str, Widget] = {}  # those of the run before
        self.shown = Shown()
        self.failed = False  # a run of the page ended with an error
        self._toasts: list[str] = []
        self._fragments: dict[str, _Fragment] = {}
        self._waiting_for_files: list = []
        self._followed = ("", 0)  # where the charts of a race ask for updates, and the version that they show
        self.status = ""  # the race's status line of the last update
        self._socket = connect(
            self.address.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=["streamlit"], origin=self.address, max_size=None, compression=None, proxy=None,
            additional_headers={"Cookie": f"{COOKIE}={self.token}"},  # which a browser gets with the first page
        )  # fmt: skip

    def __enter__(self) -> Learner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    # --- what a learner does ----------------------------------------------------------------------------------------

    def open(self, page: str = "", query: str = "") -> float:
        """Open a page by its address, such as "race", with a query string; seconds until it is there."""
        self.query, self.page_hash = query, ""
        self.widgets, self.shown, self._fragments, self._toasts = {}, Shown(), {}, []
        seconds = self._run(page_name=page)
        return seconds + self._send_token()

    def set(self, name: str, value: object, *, field: str = "") -> float:
        """Give a widget a value, as its field of a WidgetState takes it (`field`: another one); seconds until the page is there."""
        widget = self.widget(name)
        widget.value = value
        return self._run(given=(widget.id, field or widget.field, value))

    def press(self, name: str) -> float:
        """Press a button; seconds until the page is there."""
        return self._run(given=(self.widget(name).id, "trigger_value", True))

    def send(self, widget_id: str, field: str, value: object) -> float:
        """Send a value for any id, also for one that no widget of the page has."""
        return self._run(given=(widget_id, field, value))

    def tick(self) -> float | None:
        """Wait until the next live fragment is due, and update it; seconds that this took, or None where nothing is live."""
        if not self._fragments:
            return None
        fragment_id, fragment = min(self._fragments.items(), key=lambda item: item[1].due)
        time.sleep(max(0.0, fragment.due - time.monotonic()))
        fragment.due = time.monotonic() + fragment.interval
        return self._run(fragment_id=fragment_id)

    def update(self) -> float | None:
        """Ask for the next figures of the race that the page's charts follow; seconds that the reply took beyond its waiting.

        At the end of the run, the page runs again. On a page without such charts, or without the route: a tick.
        """
        charts = [json.loads(widget.element.json) for widget in self.widgets.values() if '"updates"' in getattr(widget.element, "json", "")]
        followed = [chart for chart in charts if chart.get("updates")]
        if not followed:
            return self.tick()
        address = followed[0]["updates"]
        if self._followed[0] != address:
            self._followed = address, min(chart["version"] for chart in followed)
        panels, began = ",".join(chart["panel"] for chart in followed), time.monotonic()
        url = f"{self.address}/{address}?panels={panels}&after={self._followed[1]}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=TIMEOUT) as reply:
            update, timing = json.load(reply), reply.headers["Server-Timing"]
        seconds = time.monotonic() - began - float(timing.partition("dur=")[2]) / 1000
        self._followed, self.status = (address, update["version"]), update["status"][1]
        if not update["active"]:
            self._followed = ("", 0)
            self._run()
        return max(0.0, seconds)

    def upload(self, name: str, file_name: str, blob: bytes) -> float:
        """Upload a file to a file uploader; seconds until the page is there."""
        request = BackMsg()
        request.file_urls_request.request_id = secrets.token_hex(8)
        request.file_urls_request.file_names.append(file_name)
        request.file_urls_request.session_id = self.session
        self._socket.send(request.SerializeToString())
        self._waiting_for_files = []
        until = time.monotonic() + TIMEOUT
        while not self._waiting_for_files:
            self._receive(until)
        urls = self._waiting_for_files[0]
        self._put(urls.upload_url, file_name, blob)
        return self.set(name, [(urls, file_name, len(blob))])

    # --- what a learner sees ----------------------------------------------------------------------------------------

    @property
    def errors(self) -> list[str]:
        """Streamlit's error boxes, which no learner should ever see."""
        boxes = [f"{element.type}: {element.message}" for element in self.shown.of("exception")]
        return boxes + ["the page could not be run"] * self.failed

    @property
    def messages(self) -> list[str]:
        """The sentences of errors, warnings, notes and toasts, as Markdown."""
        return [element.body for element in self.shown.of("alert")] + self._toasts

    @property
    def markdown(self) -> list[str]:
        """Everything that is rendered as Markdown or HTML, labels and captions too."""
        bodies = [e.body for e in self.shown.of("markdown", "alert", "heading", "html")] + self._toasts
        labels = [text for w in self.widgets.values() for text in (w.label, getattr(w.element, "help", ""))]
        captions = [image.caption for images in self.shown.of("imgs") for image in images.imgs]
        return [text for text in [*bodies, *labels, *captions, *(link.label for link in self.shown.of("page_link"))] if text]

    @property
    def is_live(self) -> bool:
        """Whether the page asks to be updated in intervals."""
        return bool(self._fragments)

    def widget(self, name: str) -> Widget:
        """The widget of this key or label."""
        found = [w for w in self.widgets.values() if w.key == name] or [w for w in self.widgets.values() if w.label == name]
        if not found:
            names = ", ".join(sorted(w.label or w.key for w in self.widgets.values()))
            raise KeyError(f"the page has no widget {name!r}; it has {names}")
        return found[0]

    # --- messages ---------------------------------------------------------------------------------------------------

    def _run(self, *, page_name: str = "", fragment_id: str = "", given: tuple[str, str, object] | None = None) -> float:
        """Ask for a run of the page, or of a fragment, and wait for its end; seconds."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string, state.page_script_hash, state.page_name = self.query, self.page_hash, page_name
        state.fragment_id, state.is_auto_rerun = fragment_id, bool(fragment_id)
        state.context_info.timezone, state.context_info.url = "UTC", f"{self.address}/{page_name}"
        values = {w.id: (w.field, w.value) for w in self.widgets.values() if w.value is not None}
        if given:
            values[given[0]] = given[1:]
        for widget_id, (name, value) in values.items():
            _write(state.widget_states.widgets.add(id=widget_id), name, value)
        started = time.monotonic()
        self._socket.send(message.SerializeToString())
        while self._receive(started + TIMEOUT) != "finished":
            pass
        return time.monotonic() - started

    def _send_token(self) -> float:
        """The token of this browser, which the identity component asks for; 0 where it is known."""
        for widget in self.widgets.values():
            if widget.key == "identity" and json.loads(widget.element.json or "{}").get("known") != self.token:
                return self.set("identity", json.dumps({"token": self.token}))
        return 0.0

    def _receive(self, until: float) -> str:
        """Take the server's next message; "finished" at the end of a run."""
        message = ForwardMsg()
        message.ParseFromString(self._socket.recv(timeout=max(0.01, until - time.monotonic())))
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._begin(message)
        elif kind == "delta":
            self._show(tuple(message.metadata.delta_path), message.delta)
        elif kind == "navigation":
            self.page_hash = message.navigation.page_script_hash
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string.lstrip("?")
        elif kind == "auto_rerun":
            rerun = message.auto_rerun
            self._fragments[rerun.fragment_id] = _Fragment(rerun.interval, time.monotonic() + rerun.interval)
        elif kind == "file_urls_response":
            self._waiting_for_files = list(message.file_urls_response.file_urls)
        elif kind == "script_finished" and message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            self.failed = message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR
            return "finished"
        return kind or ""

    def _begin(self, message: ForwardMsg) -> None:
        """A run begins: a whole page replaces what is shown, a fragment adds to it."""
        self.session = message.new_session.initialize.session_id or self.session
        if not message.metadata.run.fragment_ids:
            self._fragments, self.shown = {}, Shown()
            self._known, self.widgets = self.widgets, {}

    def _show(self, path: tuple, delta: object) -> None:
        if delta.WhichOneof("type") == "add_block":
            self._add_block(delta.add_block)
            return
        kind = delta.new_element.WhichOneof("type")
        if kind is None:
            return
        element = getattr(delta.new_element, kind)
        if kind == "toast":
            self._toasts.append(element.body)
            return
        self.shown.elements[path] = (kind, element)
        if kind in VALUE_FIELDS and element.id:
            self._add_widget(Widget(kind, element))

    def _add_block(self, block: object) -> None:
        """A popover or an expander whose opening the page follows is a widget too."""
        kind = block.WhichOneof("type")
        inner = getattr(block, kind) if kind else None
        if kind in ("popover", "expandable") and inner.id:
            self._add_widget(Widget(kind, inner, block=True))

    def _add_widget(self, widget: Widget) -> None:
        known = self.widgets.get(widget.id) or self._known.get(widget.id)
        keeps_value = known is not None and not getattr(widget.element, "set_value", False)
        widget.value = known.value if keeps_value else _initial(widget)
        self.widgets[widget.id] = widget

    def _put(self, url: str, file_name: str, blob: bytes) -> None:
        """Send the content of a file over HTTP, as a form with one file."""
        cookies = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(cookies))
        opener.open(f"{self.address}/_stcore/health", timeout=TIMEOUT).close()  # sets the cookie
        boundary = secrets.token_hex(16)
        name = file_name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/zip\r\n\r\n'
        body = head.encode("utf-8", "replace") + blob + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Origin": self.address}
        headers["X-Xsrftoken"] = next(cookie.value for cookie in cookies if "xsrf" in cookie.name)
        request = urllib.request.Request(self.address + url, body, headers, method="PUT")
        opener.open(request, timeout=TIMEOUT).close()


def _initial(widget: Widget) -> object:
    """The value that a browser sends for a widget that nobody has touched; None if it sends none."""
    kind, element, options = widget.kind, widget.element, widget.options
    if widget.block:
        return element.open if kind == "popover" else element.expanded
    if kind == "checkbox":
        return element.value if element.set_value else element.default
    if kind in ("text_input", "number_input"):
        has_default = not hasattr(element, "default") or element.HasField("default")
        return element.value if element.set_value else element.default if has_default else None
    if kind == "selectbox":
        chosen = options[element.default] if element.HasField("default") and options else None
        return element.raw_value if element.set_value else chosen
    if kind in ("multiselect", "button_group"):
        return list(element.raw_values) if element.set_value else [options[n] for n in element.default]
    if kind == "slider" and options:
        return list(element.raw_value) if element.set_value else [options[int(n)] for n in element.default]
    if kind == "slider":
        return list(element.value if element.set_value else element.default)
    return None


def _write(state: object, name: str, value: object) -> None:
    """Write a value into a field of a WidgetState."""
    if name == "file_uploader_state_value":
        state.file_uploader_state_value.SetInParent()
        for urls, file_name, size in value:
            info = state.file_uploader_state_value.uploaded_file_info.add(name=file_name, size=size, file_id=urls.file_id)
            info.file_urls.CopyFrom(urls)
    elif name.endswith("_array_value"):
        getattr(state, name).SetInParent()
        getattr(state, name).data.extend(value if isinstance(value, list | tuple) else [value])
    elif name == "string_trigger_value":
        state.string_trigger_value.data = value
    else:
        setattr(state, name, value)
