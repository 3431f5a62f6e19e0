// Requests to the outside, for sinks and sources: to the hosts that the deployment grants (`grants.http`). The server adds
// the secrets that are granted, and follows no redirects.
//
//   const answer = request("https://hooks.example.com/a", { method: "POST", headers: { "x-a": "b" }, body: { n: 1 } });
//   if (answer.ok) log.info(answer.json());
//
// It returns when the whole answer is there.

import { handle } from "wasi:http/outgoing-handler@0.2.12";
import { Fields, OutgoingBody, OutgoingRequest, RequestOptions } from "wasi:http/types@0.2.12";
import { Retry, bytesOf, integer, textOf } from "./millstream.js";

/**
 * @typedef {object} Options
 * @property {string} [method] GET unless said otherwise
 * @property {{ [name: string]: string } | Array<[string, string]>} [headers]
 * @property {unknown} [body] text, bytes, or anything else as JSON
 * @property {number} [timeout] milliseconds until the answer has begun; the server has a bound of its own
 * @property {number} [responseMax] bytes of the answer that are taken, 1 MiB unless said otherwise
 */

/** What came back, whatever its status. */
export class Response {
  /** @param {number} status @param {Array<[string, Uint8Array]>} headers @param {Uint8Array} bytes */
  constructor(status, headers, bytes) {
    this.status = status;
    /** In their order, names in lower case. */
    this.headers = headers;
    this.bytes = bytes;
  }

  /** 200 to 299 */
  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  /** The first header of this name, given in lower case; null when there is none. @param {string} name */
  header(name) {
    const found = this.headers.find((header) => header[0] === name);
    return found === undefined ? null : textOf(found[1]);
  }

  /** The body as text; null for what is no UTF-8. */
  text() {
    return textOf(this.bytes);
  }

  /** The body as JSON; throws when it is none. @returns {any} */
  json() {
    return JSON.parse(this.text() ?? "");
  }
}

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
const RESPONSE_MAX = 1 << 20;
/** Bytes that a stream is asked for, or given, at a time; of writing it takes no more. */
const READ_BYTES = 1 << 16;
const WRITE_BYTES = 4096;

/**
 * Sends a request and waits for the answer. When none comes it throws: Retry, or another error when it will not come later
 * either, because the URL does not read or nobody granted it.
 * @param {string} url
 * @param {Options} [options]
 */
export function request(url, { method = "GET", headers = {}, body, timeout, responseMax = RESPONSE_MAX } = {}) {
  const what = `${method} ${url}`;
  const bytes = body === undefined || body === null ? null : bytesOf(body);
  const [, scheme = "", authority = "", rest = ""] = /^(https?):\/\/([^/?#]+)([^#]*)/.exec(url) ?? [];
  if (!scheme) throw new TypeError(`\`${url}\` does not begin with http:// or https://`);

  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  const named = (/** @type {string} */ name) => pairs.some((pair) => pair[0].toLowerCase() === name);
  /** @type {Array<[string, Uint8Array]>} */
  const fields = pairs.map(([name, value]) => [String(name), bytesOf(String(value))]);
  if (!named("content-length") && (bytes !== null || method !== "GET")) {
    fields.push(["content-length", bytesOf(String(bytes?.length ?? 0))]);
  }
  const head = asked(`${what} is no request that can be sent`, () => {
    const head = new OutgoingRequest(Fields.fromList(fields));
    const known = METHODS.includes(method);
    head.setMethod(known ? { tag: method.toLowerCase() } : { tag: "other", val: method });
    head.setScheme({ tag: scheme.toUpperCase() });
    head.setAuthority(authority);
    head.setPathWithQuery(rest.startsWith("/") ? rest : `/${rest}`);
    return head;
  });
  const options = new RequestOptions();
  if (timeout !== undefined) options.setFirstByteTimeout(integer(Math.round(timeout * 1e6)));

  const outgoing = head.body();
  let coming;
  try {
    coming = handle(head, options);
  } catch (error) {
    drop(outgoing);
    throw failed(what, payload(error));
  }
  const left = write(outgoing, bytes);
  try {
    const ready = coming.subscribe();
    ready.block();
    drop(ready);
    const answer = coming.get();
    if (answer?.tag !== "ok") throw new Error(`${what}: the answer was taken twice`);
    if (answer.val.tag === "err") throw failed(what, answer.val.val);
    return read(what, answer.val.val, responseMax);
  } finally {
    drop(coming);
    drop(left);
  }
}

/**
 * Whoever does not want all of the body answers instead of taking it. Then the body is left: giving it back before the answer
 * is there would break the request off.
 * @param {OutgoingBody} body
 * @param {Uint8Array | null} bytes
 */
function write(body, bytes) {
  const stream = body.write();
  try {
    for (let at = 0; bytes !== null && at < bytes.length; at += WRITE_BYTES) {
      stream.blockingWriteAndFlush(bytes.slice(at, at + WRITE_BYTES));
    }
  } catch {
    drop(stream);
    return body;
  }
  drop(stream);
  try {
    OutgoingBody.finish(body, undefined);
  } catch {
    // It is gone all the same, and the answer says why.
  }
  return null;
}

/** @param {string} what @param {import("wasi:http/types@0.2.12").IncomingResponse} response @param {number} max */
function read(what, response, max) {
  // Given back in the end, the newest first: a stream before the body that it is of.
  /** @type {unknown[]} */
  const held = [response];
  try {
    const status = response.status();
    const head = response.headers();
    const headers = head.entries();
    drop(head);
    const body = response.consume();
    held.push(body);
    const stream = body.stream();
    held.push(stream);
    return new Response(status, headers, all(what, stream, max));
  } finally {
    held.reverse().forEach(drop);
  }
}

/** @param {string} what @param {import("wasi:http/types@0.2.12").InputStream} stream @param {number} max */
function all(what, stream, max) {
  const pieces = [];
  let length = 0;
  for (;;) {
    let piece;
    try {
      piece = stream.blockingRead(integer(READ_BYTES));
    } catch (error) {
      const why = payload(error);
      if (why?.tag === "closed") break;
      const told = why?.val?.toDebugString?.() ?? why?.tag;
      drop(why?.val);
      throw new Retry(`${what}: the answer broke off: ${told}`);
    }
    length += piece.length;
    if (length > max) throw new Retry(`${what}: the answer is longer than ${max} bytes`);
    pieces.push(piece);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Errors that will not go away by themselves, in words. @type {{ [tag: string]: string }} */
const PERMANENT = {
  "HTTP-request-denied": "grants.http of the deployment does not cover it",
  "destination-IP-prohibited": "its address is of no public network, and grants.http does not say private",
  "HTTP-request-method-invalid": "it is no request that may be sent",
  "HTTP-request-URI-invalid": "it is no request that may be sent",
  "HTTP-request-body-size": "its body is too large",
};

/** Others, in words. @type {{ [tag: string]: string }} */
const PASSING = {
  "connection-refused": "the connection was refused",
  "connection-timeout": "no connection in time",
  "HTTP-response-timeout": "no answer in time",
  "DNS-error": "the name does not resolve",
  "destination-not-found": "the name does not resolve",
  "TLS-certificate-error": "its certificate is not trusted",
};

/** @param {string} what @param {import("wasi:http/types@0.2.12").ErrorCode | undefined} code */
function failed(what, code) {
  const tag = code?.tag ?? "no answer";
  const permanent = PERMANENT[tag];
  return permanent ? new Error(`${what}: ${permanent}`) : new Retry(`${what}: ${PASSING[tag] ?? tag}`);
}

/** @template T @param {string} otherwise @param {() => T} code @returns {T} */
function asked(otherwise, code) {
  try {
    return code();
  } catch {
    throw new TypeError(otherwise);
  }
}

/** What a function of WASI has failed with: StarlingMonkey wraps it. @param {any} error */
const payload = (error) => error?.payload ?? error;

/** Gives a handle back at once; the collector may take its time. @param {any} handle */
function drop(handle) {
  handle?.[/** @type {any} */ (Symbol).dispose]?.();
}
