// The set-up page: from a device in listening mode to its owner, and the owner's devices.
//
// It speaks to two machines: the cloud that sent it (with a token that it asks for and keeps in memory alone), and the
// device in its own Wi-Fi, which has HTTP and CORS but no TLS. The Wi-Fi password goes to the device encrypted with the
// device's key. Browsers have no RSA PKCS#1 v1.5 to call, so its few lines are here.
"use strict";

(() => {
  const app = document.getElementById("app");
  const steps = ["devices", "listen", "wifi", "wait", "ready"];
  const state = { token: null, code: null, owned: [], device: null, key: null, scans: [], stream: null };

  const $ = (id) => document.getElementById(id);

  // -- showing ------------------------------------------------------------------------------------------------------

  function show(name) {
    for (const section of app.querySelectorAll("section")) {
      section.hidden = section.dataset.step !== name;
    }
    const at = steps.indexOf(name);
    app.querySelectorAll("ol.steps li").forEach((item, index) => {
      item.classList.toggle("past", index < at - 1);
      if (index === at - 1) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
    });
    problem(null);
    const heading = app.querySelector(`section[data-step="${name}"] h2`);
    if (heading) heading.focus({ preventScroll: true });
  }

  function problem(text) {
    $("problem").hidden = !text;
    $("problem").textContent = text || "";
  }

  async function busy(button, work) {
    button.disabled = true;
    problem(null);
    try {
      await work();
    } catch (error) {
      problem(error.message);
    } finally {
      button.disabled = false;
    }
  }

  // -- the cloud ----------------------------------------------------------------------------------------------------

  async function token() {
    if (state.token) return state.token;
    const answer = await fetch(app.dataset.tokenUrl, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ csrf: app.dataset.csrf }),
    });
    if (!answer.ok) throw new Error("You are signed out. Load the page again and sign in.");
    state.token = (await answer.json()).access_token;
    return state.token;
  }

  async function cloud(method, path, body) {
    const headers = { Authorization: `Bearer ${await token()}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch (error) {
      throw new Error("The cloud cannot be reached. Is this machine in its own Wi-Fi?");
    }
    const said = answer.status === 204 ? {} : await answer.json();
    if (!answer.ok) {
      if (answer.status === 401) state.token = null;
      throw new Error(said.error_description || said.info || said.error || (said.errors || [])[0] || `status ${answer.status}`);
    }
    return said;
  }

  async function listDevices() {
    const devices = await cloud("GET", "/v1/devices");
    const list = $("devices");
    list.replaceChildren(...devices.map(deviceItem));
    $("no-devices").hidden = devices.length > 0;
    return devices;
  }

  function deviceItem(device) {
    const item = document.createElement("li");
    item.dataset.id = device.id;
    const lamp = document.createElement("span");
    lamp.className = device.connected ? "lamp on" : "lamp";
    const name = document.createElement("strong");
    name.textContent = device.name || device.id;
    const status = document.createElement("span");
    status.className = "status";
    status.textContent = device.connected ? " online" : " offline";
    const light = document.createElement("button");
    light.className = "quiet light";
    light.textContent = "Light on";
    light.setAttribute("aria-pressed", "false");
    light.disabled = !device.connected;
    light.addEventListener("click", () => busy(light, async () => {
      const on = light.getAttribute("aria-pressed") !== "true";
      const said = await cloud("PUT", `/v1/devices/${device.id}`, { signal: on ? "1" : "0" });
      light.setAttribute("aria-pressed", String(said.signaling));
      light.textContent = said.signaling ? "Light off" : "Light on";
    }));
    const line = document.createElement("div");
    line.className = "row";
    const label = document.createElement("span");
    label.append(lamp, name, status);
    line.append(label, light);
    item.append(line);
    return item;
  }

  // Events by fetch, because EventSource cannot send the token in a header.
  async function follow() {
    if (state.stream) return;
    state.stream = new AbortController();
    try {
      const answer = await fetch("/v1/devices/events/spark%2Fstatus", {
        headers: { Authorization: `Bearer ${await token()}` },
        signal: state.stream.signal,
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        rest += value;
        const events = rest.split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const data = /^data: (.*)$/m.exec(event);
          if (data) heard(JSON.parse(data[1]));
        }
      }
    } catch (error) {
      // The network went away, as it does when this machine joins the device's Wi-Fi.
    }
    state.stream = null;
    setTimeout(follow, 2000);
  }

  function heard(event) {
    const item = document.querySelector(`li[data-id="${CSS.escape(event.coreid)}"]`);
    if (!item) {
      listDevices().catch(() => {});
      return;
    }
    const online = event.data === "online";
    item.querySelector(".lamp").classList.toggle("on", online);
    item.querySelector(".status").textContent = online ? " online" : " offline";
    item.querySelector(".light").disabled = !online;
  }

  // -- the device -----------------------------------------------------------------------------------------------------

  async function ask(command, body) {
    const options = body === undefined ? {} : {
      method: "POST",
      // A simple request by the rules of CORS: no question before it.
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: JSON.stringify(body),
    };
    let text;
    try {
      const answer = await fetch(`http://${$("address").value.trim()}/${command}`, {
        ...options, signal: AbortSignal.timeout(20000),
      });
      text = await answer.text();
    } catch (error) {
      const secure = location.protocol === "https:"
        ? " Some browsers let no secure page speak to a device: then take Chrome or Edge, and allow what they ask."
        : "";
      throw new Error(`The device does not answer. Does its light blink blue, and is this machine in its Wi-Fi?${secure}`);
    }
    let said;
    try {
      said = JSON.parse(text);
    } catch (error) {
      throw new Error("The device's answer cannot be read.");
    }
    if (said.r !== undefined && said.r !== 0) throw new Error(`The device refused (${command}, ${said.r}).`);
    return said;
  }

  function bytesOf(hex) {
    return Uint8Array.from(hex.match(/../g) || [], (pair) => parseInt(pair, 16));
  }

  function hexOf(bytes) {
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // The device's key: SPKI DER of 1024 bits, whose modulus has 128 bytes and stands behind 29 bytes of header.
  function modulusOf(field) {
    const at = 29;
    const exponent = field.slice(at + 128, at + 133);
    if (field[0] !== 0x30 || hexOf(exponent) !== "0203010001") throw new Error("The device's key cannot be read.");
    return BigInt("0x" + hexOf(field.slice(at, at + 128)));
  }

  function encrypt(modulus, text) {
    const message = new TextEncoder().encode(text);
    if (message.length > 117) throw new Error("The password is too long for the device.");
    const padding = new Uint8Array(128 - 3 - message.length);
    crypto.getRandomValues(padding);
    for (let index = 0; index < padding.length; index += 1) {
      while (padding[index] === 0) crypto.getRandomValues(padding.subarray(index, index + 1));
    }
    let base = BigInt("0x" + hexOf(Uint8Array.from([0, 2, ...padding, 0, ...message])));
    let result = 1n;
    for (let exponent = 65537n; exponent > 0n; exponent >>= 1n) {
      if (exponent & 1n) result = (result * base) % modulus;
      base = (base * base) % modulus;
    }
    return result.toString(16).padStart(256, "0");
  }

  function showNetworks() {
    $("ssid").replaceChildren(...state.scans.map((scan, index) => {
      const option = document.createElement("option");
      option.value = String(index);
      option.textContent = scan.sec ? scan.ssid : `${scan.ssid} (open)`;
      return option;
    }));
    networkChosen();
  }

  function chosen() {
    return state.scans[Number($("ssid").value)];
  }

  function isEnterprise(scan) {
    return Boolean(scan && scan.sec & 0x02000000);
  }

  function networkChosen() {
    const scan = chosen();
    $("password-part").hidden = !scan || scan.sec === 0;
    $("identity-part").hidden = !isEnterprise(scan);
  }

  // -- the walk -------------------------------------------------------------------------------------------------------

  $("begin").addEventListener("click", () => busy($("begin"), async () => {
    // While this machine is in the device's Wi-Fi the cloud is out of reach, so all that is needed of it comes first.
    const claims = await cloud("POST", `/v1/products/${app.dataset.product}/device_claims`, {});
    state.code = claims.claim_code;
    state.owned = claims.device_ids;
    show("listen");
  }));

  $("find").addEventListener("click", () => busy($("find"), async () => {
    const said = await ask("device-id");
    state.device = said.id.toLowerCase();
    state.key = modulusOf(bytesOf((await ask("public-key")).b));
    state.scans = (await ask("scan-ap")).scans;
    if (!state.scans.length) throw new Error("The device sees no Wi-Fi. Bring it nearer to yours.");
    $("found").textContent = state.device;
    showNetworks();
    show("wifi");
  }));

  $("ssid").addEventListener("change", networkChosen);

  $("wifi-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const button = $("wifi-form").querySelector("button");
    busy(button, async () => {
      const scan = chosen();
      const wanted = { idx: 0, ssid: scan.ssid, sec: scan.sec, ch: scan.ch };
      // By name and password (PEAP); networks that want a certificate need the set-up app.
      if (isEnterprise(scan)) Object.assign(wanted, { eap: 25, ii: $("identity").value });
      if (scan.sec) wanted.pwd = encrypt(state.key, $("wifi-password").value);
      await ask("set", { k: "cc", v: state.code });
      await ask("configure-ap", wanted);
      await ask("connect-ap", { idx: 0 });
      $("wifi-password").value = "";
      show("wait");
      wait();
    });
  });

  async function wait() {
    const began = Date.now();
    while (!$("waiting").closest("section").hidden) {
      try {
        const devices = await listDevices();
        const mine = devices.find((device) => device.id === state.device);
        if (mine && mine.connected) {
          show("ready");
          return;
        }
      } catch (error) {
        // Out of reach: the person is still in the device's Wi-Fi.
      }
      const seconds = Math.round((Date.now() - began) / 1000);
      $("waiting").textContent = seconds < 20
        ? `Waiting … ${seconds} s`
        : `Still waiting, ${seconds} s. If the light blinks blue again, the Wi-Fi password was wrong: go back and try once more.`;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  $("to-devices").addEventListener("click", () => {
    show("devices");
    listDevices().catch((error) => problem(error.message));
  });

  for (const back of app.querySelectorAll("[data-back]")) {
    back.addEventListener("click", () => show("devices"));
  }

  $("address").value = app.dataset.device;
  listDevices().catch((error) => problem(error.message));
  follow();
})();
