// Questions that a processor answers about what it keeps:
//
//   import { NotFound, answerEach } from "../sdk/query.js";
//
//   export const query = answerEach((request) => {
//     const count = counts.json(request.text());
//     if (count === undefined) throw new NotFound("never seen");
//     return { count };
//   });
//
// package.json says so: "millstream": { "world": "answering-processor" }. A question is asked in instances of its own, also
// while records are processed, and sees the stores as they were committed at one moment; it cannot change them.

import { bytesOf, kind, opening, textOf, waited, words } from "./millstream.js";

/** To be thrown when the request makes no sense. */
export class BadRequest extends Error {}

/** To be thrown when what the request asks for is not there. */
export class NotFound extends Error {}

/** The body of a request. */
export class Request {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
  }

  /** As text. Throws BadRequest for what is no UTF-8. */
  text() {
    const text = textOf(this.bytes);
    if (text === null) throw new BadRequest("the request is no text");
    return text;
  }

  /** As JSON. Throws BadRequest for what is none. @returns {any} */
  json() {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch {
      throw new BadRequest("the request is no JSON");
    }
  }
}

/**
 * What a processor exports as `query`: `answer` gives text, bytes, or anything else as JSON. What it throws, but for
 * BadRequest and NotFound, is told as a failure.
 * @param {(request: Request) => unknown} answer
 * @param {() => void} [open] once per instance, before the first request; what is read from a store there is old later
 */
export const answerEach = (answer, open) => ({
  open: opening(open),
  /** @param {Uint8Array} request */
  query(request) {
    try {
      const found = waited(answer(new Request(request)));
      if (found === undefined) throw new TypeError(`an answer is expected, not ${kind(found)}`);
      return bytesOf(found);
    } catch (error) {
      if (error instanceof BadRequest) throw { tag: "bad-request", val: error.message };
      if (error instanceof NotFound) throw { tag: "not-found", val: error.message };
      throw { tag: "failed", val: words(error) };
    }
  },
});
