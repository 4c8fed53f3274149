// One socket for the bell, one for each [data-live-url] on the page. A message {"type": "job.changed", …} becomes the
// DOM event "job-changed" on <body> with the message as detail: fragments re-read themselves by
// hx-trigger="job-changed from:body", the curve listens to "job-points". After a lost connection the page is told
// "live-again", and whatever was missed heals by reading again. [data-live-state] says in words how it is.

const FIRST_WAIT = 500; // milliseconds; doubles up to LONGEST_WAIT, with some chance in it so that tabs do not march
const LONGEST_WAIT = 15000;
const TRIES_TO_PAUSE = 6; // then the page says "paused"; it goes on trying

function tell(type, detail) {
  document.body.dispatchEvent(new CustomEvent(type.replaceAll(".", "-"), { detail }));
}

function sayState(state) {
  for (const node of document.querySelectorAll("[data-live-state]")) {
    node.dataset.liveState = state;
    node.classList.toggle("status-running", state === "live");
    node.classList.toggle("status-queued", state === "reconnecting");
    node.classList.toggle("status-paused", state === "paused");
    const words = node.querySelector("[data-live-word]");
    if (words && words.textContent !== node.dataset[state]) words.textContent = node.dataset[state];
  }
}

/** Keeps a socket to `path` open for as long as the page is. `isShown`: its state is the one the page speaks of. */
function keepOpen(path, { isShown = false } = {}) {
  let tries = 0;
  let wasOpen = false;
  let socket = null;
  let timer = null;
  let state = "reconnecting";

  const set = (now) => {
    state = now;
    if (isShown) sayState(now);
  };

  function connect() {
    clearTimeout(timer);
    timer = null;
    const address = new URL(path, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(address);
    socket.addEventListener("open", () => {
      tries = 0;
      set("live");
      // Whatever happened while there was no socket, also before the first one, heals by reading again.
      if (wasOpen || isShown) {
        tell("live-again", { path });
        tell("job.changed", { type: "job.changed", isCatchUp: true });
      }
      wasOpen = true;
    });
    socket.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      tell(message.type, message);
    });
    socket.addEventListener("close", retry);
  }

  function retry() {
    if (timer) return;
    tries += 1;
    set(!navigator.onLine || tries >= TRIES_TO_PAUSE ? "paused" : "reconnecting");
    const wait = Math.min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT);
    timer = setTimeout(connect, wait * (0.7 + 0.6 * Math.random()));
  }

  const hurry = () => {
    if (socket.readyState === WebSocket.OPEN) set("live");
    else if (!document.hidden && socket.readyState > WebSocket.OPEN) connect();
  };
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", hurry);
  addEventListener("offline", () => set("paused"));
  addEventListener("pagehide", () => socket.removeEventListener("close", retry));
  addEventListener("pageshow", (event) => event.persisted && socket.readyState > WebSocket.OPEN && connect());
  // A fragment that was just read brings its words in the state of long ago.
  document.addEventListener("htmx:afterSwap", () => isShown && sayState(state));
  connect();
}

// Folds with an id that were open stay open when the fragment around them is read again.
const openFolds = new WeakMap();
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target } = event.detail;
  openFolds.set(target, [...target.querySelectorAll("details[id][open]")].map((fold) => fold.id));
});
document.addEventListener("htmx:afterSwap", (event) => {
  for (const id of openFolds.get(event.detail.target) ?? []) document.getElementById(id)?.setAttribute("open", "");
});

if (document.body.dataset.noticesUrl) keepOpen(document.body.dataset.noticesUrl);
for (const path of new Set([...document.querySelectorAll("[data-live-url]")].map((node) => node.dataset.liveUrl))) {
  keepOpen(path, { isShown: true });
}
