"use strict";

// Takes a token out of the address, whether it stands in the query or after the `#`. The entry of the history is replaced,
// so that neither going back nor somebody looking over a shoulder finds it.
function takeToken() {
  const address = new URL(location.href);
  const fragment = new URLSearchParams(address.hash.slice(1));
  const inQuery = address.searchParams.has("token");
  const inFragment = fragment.has("token");
  if (!inQuery && !inFragment) return null;
  const token = address.searchParams.get("token") || fragment.get("token");
  address.searchParams.delete("token");
  fragment.delete("token");
  if (inFragment) address.hash = fragment.toString();
  history.replaceState(null, "", address.pathname + address.search + address.hash);
  return token && token.trim();
}

// At once: the page below is not even parsed yet.
const scanned = takeToken();

const at = (id) => document.getElementById(id);

// How long a code can be redeemed, and how often the list is asked whether it was.
const CODE_SECONDS = 60;
const LOOK_EVERY = 3;
const PATIENCE_MS = 15000;

const SCOPES = {
  channels: "channels",
  chat: "talk to the agent",
  memory: "use the agent's memory",
  sessions: "use the stored conversations",
  "settings:read": "read the settings",
  "settings:write": "read and change the settings",
};
const KINDS = {
  session: "You are signed in",
  api_key: "You are signed in with an API key",
  master_token: "You are signed in with the access token",
  loopback: "You are on this computer",
};
const ORIGINS = { login: "signed in with a browser", pairing: "scanned a code", exchange: "signed in as a program" };

// Asks the server. Never throws: a server that cannot be reached has status 0.
async function ask(method, path, body) {
  const request = { method, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, request);
    const data = await response.json().catch(() => null);
    return { ok: response.ok, status: response.status, data, wait: response.headers.get("Retry-After") };
  } catch {
    return { ok: false, status: 0, data: null, wait: null };
  }
}

// What to do about an answer that is not the one hoped for.
function explain(answer) {
  if (answer.status === 0) return "The server does not answer. Is it running, and is this device in its network?";
  if (answer.status === 429) {
    const seconds = Number(answer.wait) || 1;
    return `That was too often. Wait ${seconds === 1 ? "a second" : `${seconds} seconds`}, then try again.`;
  }
  const detail = answer.data && answer.data.detail;
  if (answer.status < 500 && typeof detail === "string") return detail;
  return `The server could not do this (${answer.status}). Try again in a moment; its log says more.`;
}

function say(text, isError = false) {
  const notice = at("notice");
  notice.hidden = !text;
  notice.classList.toggle("error", isError);
  notice.textContent = text;
}

function element(name, text, ...classes) {
  const made = document.createElement(name);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

function button(text, onClick, ...classes) {
  const made = element("button", text, ...classes);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function when(text) {
  const made = element("time", clock.format(new Date(text)));
  made.dateTime = text;
  return made;
}

// A name for a browser that people know it by. Whatever else a client calls itself stays as it is.
function deviceName(label) {
  const first = (pairs) => (pairs.find(([pattern]) => pattern.test(label)) || [])[1];
  const browser = first([
    [/\bEdgA?\//, "Edge"],
    [/\bOPR\//, "Opera"],
    [/\b(Firefox|FxiOS)\//, "Firefox"],
    [/\b(Chrome|Chromium|HeadlessChrome|CriOS)\//, "Chrome"],
    [/\bSafari\//, "Safari"],
  ]);
  const system = first([
    [/\bAndroid\b/, "Android"],
    [/\biPhone\b/, "iPhone"],
    [/\biPad\b/, "iPad"],
    [/\bWindows\b/, "Windows"],
    [/\bMacintosh\b/, "Mac"],
    [/\bCrOS\b/, "ChromeOS"],
    [/\bLinux\b/, "Linux"],
  ]);
  if (browser && system) return `${browser} on ${system}`;
  return label || "A program that does not say what it is";
}

// Whether an answer says that whoever this was is nobody any more, which changes the whole page.
function isOver(answer) {
  if (answer.status !== 401) return false;
  showSignedOut();
  say("Your sign-in has ended. Sign in again.", true);
  return true;
}

function showSignedOut() {
  putCodeAway();
  at("signed-in").hidden = true;
  at("status").hidden = true;
  at("signed-out").hidden = false;
}

// An app that wants to sign in sent somebody here to sign in first. Nothing else is gone on to.
function goOn() {
  const next = new URLSearchParams(location.search).get("next");
  if (!next || !next.startsWith("/api/v1/oauth/authorize?")) return false;
  location.replace(next);
  return true;
}

function showSignedIn(me) {
  if (goOn()) return;
  const isAdmin = me.scopes.includes("admin");
  const isLocal = me.kind === "loopback";
  at("who").textContent = KINDS[me.kind] || "You are signed in";
  const rights = isAdmin ? ["everything"] : me.scopes.map((scope) => SCOPES[scope] || scope);
  at("scopes").textContent = rights.join(", ") || "only what needs no particular right";
  if (me.expires_at) at("until").replaceChildren(when(me.expires_at));
  else at("until").textContent = isLocal ? "always; requests from here need no sign-in" : "no end is set";
  // Who is let in for being here stays in: logging out would change nothing.
  at("log-out").hidden = isLocal;
  at("phone").hidden = !isAdmin;
  at("logins").hidden = !isAdmin;
  if (!isAdmin) putCodeAway();
  at("signed-out").hidden = true;
  at("signed-in").hidden = false;
}

// Finds out who is signed in, and shows what they can do. Says who it is, or null.
async function load() {
  const answer = await ask("GET", "/api/v1/auth/me");
  if (!answer.ok) {
    showSignedOut();
    if (answer.status !== 401) say(explain(answer), true);
    return null;
  }
  showSignedIn(answer.data);
  const loading = [loadVersion()];
  if (answer.data.scopes.includes("admin")) loading.push(loadLogins());
  await Promise.all(loading);
  return answer.data;
}

async function loadVersion() {
  const answer = await ask("GET", "/api/v1/version");
  if (!answer.ok) return;
  at("version").textContent = answer.data.version;
  at("status").hidden = false;
}

// The list as it was shown last; what a new one is compared with.
let logins = [];

async function loadLogins() {
  const answer = await ask("GET", "/api/v1/auth/sessions");
  if (answer.ok) {
    logins = answer.data;
    at("login-list").replaceChildren(...logins.map(loginRow));
    at("no-logins").hidden = logins.length > 0;
  } else if (!isOver(answer)) {
    say(explain(answer), true);
  }
  return answer.ok;
}

function loginRow(login) {
  const name = element("strong", deviceName(login.device));
  // The rest of what it said of itself, for who wants to know.
  name.title = login.device;
  const head = element("div", "");
  head.append(name);
  if (login.current) head.append(element("span", "this one", "mark"));
  const facts = element("div", `${ORIGINS[login.origin] || login.origin}, from ${login.address}`, "hint");
  const times = element("div", "Last used ", "hint");
  times.append(when(login.last_used_at), ", ends ", when(login.expires_at));
  const actions = element("div", "", "actions");
  const row = element("li", "");
  row.append(head, facts, times, actions);
  offerEnd(login, actions);
  return row;
}

function offerEnd(login, actions) {
  const end = button("End", () => confirmEnd(login, actions), "danger");
  end.setAttribute("aria-label", `End: ${deviceName(login.device)}`);
  actions.replaceChildren(end);
  return end;
}

function confirmEnd(login, actions) {
  const question = login.current ? "Really end this one? You will be signed out." : "Really end it? The device must sign in anew.";
  // The focus goes to what does no harm: the key that asked may be pressed twice.
  const keep = button("Keep it", () => offerEnd(login, actions).focus());
  const sure = button("End it", once(() => endLogin(login)), "danger");
  actions.replaceChildren(element("span", question), sure, keep);
  actions.firstChild.setAttribute("role", "status");
  keep.focus();
}

async function endLogin(login) {
  const answer = await ask("DELETE", `/api/v1/auth/sessions/${encodeURIComponent(login.id)}`);
  // One that is gone already is what was asked for.
  if (!answer.ok && answer.status !== 404) {
    if (!isOver(answer)) say(explain(answer), true);
    return;
  }
  say(`Ended: ${deviceName(login.device)}.`);
  if (login.current) await afterLeaving("You have ended your own sign-in.");
  else if (await loadLogins()) at("logins-title").focus();
}

async function afterLeaving(text) {
  const me = await load();
  say(me && me.kind === "loopback" ? `${text} This computer is let in all the same.` : text);
  (me ? at("who") : at("token")).focus();
}

// Lets a slow answer come before the same thing is asked again.
function once(action) {
  let isBusy = false;
  return async (...given) => {
    if (isBusy) return;
    isBusy = true;
    try {
      await action(...given);
    } finally {
      isBusy = false;
    }
  };
}

// The code on show: when it ends, and who was signed in before it was shown.
let code = null;

async function showCode() {
  if (!(await loadLogins())) return;
  putCodeAway();
  const ends = Date.now() + CODE_SECONDS * 1000;
  code = { ends, before: new Set(logins.map((login) => login.id)), timer: setInterval(tick, 1000), ticks: 0 };
  // The time makes it another address each time, and so another code.
  at("qr").src = `/api/qr?t=${Date.now()}`;
  at("left").textContent = CODE_SECONDS;
  at("code").hidden = false;
  at("show-code").textContent = "Make a fresh code";
}

function putCodeAway() {
  if (code) clearInterval(code.timer);
  code = null;
  at("code").hidden = true;
  at("qr").removeAttribute("src");
}

// By the clock, not by counting: browsers slow the timers of pages that are not looked at.
async function tick() {
  const shown = code;
  const left = Math.ceil((shown.ends - Date.now()) / 1000);
  at("left").textContent = Math.max(left, 0);
  shown.ticks += 1;
  if (left <= 0) {
    putCodeAway();
    say("The code has ended. Make a fresh one if nobody has scanned it.");
  }
  if (left <= 0 || shown.ticks % LOOK_EVERY === 0) await lookForNewcomer(shown);
}

async function lookForNewcomer(shown) {
  const answer = await ask("GET", "/api/v1/auth/sessions");
  // Trouble here is no news: the next look, or whatever is pressed, will tell.
  if (!answer.ok) return;
  const newcomer = answer.data.find((login) => login.origin === "pairing" && !shown.before.has(login.id));
  // Another code may be on show by now.
  if (!newcomer || (code && code !== shown)) return;
  putCodeAway();
  say(`Signed in: ${deviceName(newcomer.device)}, from ${newcomer.address}.`);
  await loadLogins();
}

// A picture does not say why it is missing.
async function codeFailed() {
  if (!code) return;
  putCodeAway();
  say("There is no code this time, perhaps because many were made. Wait a few seconds, then try again.", true);
  await ask("GET", "/api/v1/auth/me").then(isOver);
}

// Why a token that came with the address opened nothing.
function explainScanned(answer, token) {
  if (answer.status !== 401) return `The code was not used. ${explain(answer)}`;
  if (token.startsWith("ppair_")) {
    return "This code was used before, or is older than a minute. Let a fresh one be shown, and scan that.";
  }
  return "The token in the address is not, or no longer, one of this server's. Sign in with another one.";
}

async function redeem(token) {
  const answer = await ask("POST", "/api/auth/login", { token });
  const me = await load();
  if (answer.ok && me) say("This device is signed in.");
  else if (answer.ok) say("The server let this device in, but the browser did not keep its cookie. Allow cookies for this address, then scan a fresh code.", true);
  else say(explainScanned(answer, token), true);
}

async function signIn() {
  const field = at("token");
  const fail = (text) => {
    at("token-error").textContent = text;
    field.setAttribute("aria-invalid", "true");
    field.focus();
  };
  const token = field.value.trim();
  if (!token) return fail("Enter the access token or an API key.");
  const answer = await ask("POST", "/api/auth/login", { token });
  if (answer.status === 401) return fail("This server does not know that token or key. Was all of it copied?");
  if (!answer.ok) return fail(explain(answer));
  const me = await load();
  if (!me) return fail("The server let you in, but the browser did not keep its cookie. Allow cookies for this address.");
  // Kept until it worked, so that a slip need not be typed anew; not a moment longer.
  field.value = "";
  at("token-error").textContent = "";
  field.removeAttribute("aria-invalid");
  at("who").focus();
}

async function logOut() {
  const answer = await ask("POST", "/api/auth/logout");
  if (answer.ok) await afterLeaving("You are logged out.");
  else say(explain(answer), true);
}

document.addEventListener("DOMContentLoaded", () => {
  at("origin").textContent = location.origin;
  const submit = once(signIn);
  at("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  // What was said is of what was pressed before. Captured, so that whatever the button itself says comes after.
  const forget = (event) => event.target.closest("button") && say("");
  document.addEventListener("click", forget, { capture: true });
  at("log-out").addEventListener("click", once(logOut));
  at("show-code").addEventListener("click", once(showCode));
  at("refresh").addEventListener("click", once(loadLogins));
  at("qr").addEventListener("error", codeFailed);
  if (scanned) redeem(scanned);
  else load();
});

// Another code opened in this tab changes what stands after the `#` and loads nothing.
addEventListener("hashchange", () => {
  const token = takeToken();
  if (token) redeem(token);
});

// Who goes back to this page gets it as they left it, which may be signed in when they no longer are.
addEventListener("pageshow", (event) => {
  if (event.persisted) load();
});
