"use strict";

// Asks the owner whether an app may sign in. What the app wants stands in the address; this server checks it and says what
// it means, and gets the answer back together with the form token that it made for this question and this owner.

const at = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.search);

function say(text) {
  at("notice").hidden = false;
  at("notice").classList.add("error");
  at("notice").textContent = text;
}

async function ask(method, path, body) {
  const request = { method, cache: "no-store" };
  if (body !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, request);
    const data = await response.json().catch(() => null);
    return { ok: response.ok, status: response.status, data };
  } catch {
    return { ok: false, status: 0, data: null };
  }
}

function explain(answer) {
  const detail = answer.data && answer.data.detail;
  if (typeof detail === "string") return detail;
  return "The server does not answer as it should. Start signing in from the app again.";
}

async function decide(description, decision) {
  at("allow").disabled = at("deny").disabled = true;
  const body = Object.fromEntries(asked);
  const answer = await ask("POST", "/api/v1/oauth/authorize/consent", {
    ...body,
    form_token: description.form_token,
    decision,
    admin: at("admin").checked,
  });
  if (answer.ok) {
    location.replace(answer.data.redirect);
  } else {
    say(explain(answer));
    at("allow").disabled = at("deny").disabled = false;
  }
}

async function start() {
  const answer = await ask("GET", `/api/v1/oauth/authorize/request${location.search}`);
  if (answer.status === 401) {
    // The page at `/` knows how to sign in, and comes back here.
    location.replace(`/?next=${encodeURIComponent(location.pathname + location.search)}`);
    return;
  }
  if (!answer.ok) {
    say(explain(answer));
    return;
  }
  const description = answer.data;
  at("app").textContent = description.client_id;
  at("scopes").textContent = description.scopes.join(", ") || "nothing";
  at("redirect").textContent = description.redirect_uri;
  at("admin-row").hidden = !description.wants_admin;
  at("allow").addEventListener("click", () => decide(description, "allow"));
  at("deny").addEventListener("click", () => decide(description, "deny"));
  at("question").hidden = false;
  at("title").focus();
}

start();
