// wit/millstream.wit as TypeScript sees it, and the little that the engines offer beside the language.

declare module "millstream:functions/types@0.1.0" {
  export interface Header {
    name: string;
    value?: Uint8Array | null;
  }
  /** A record that comes in. */
  export interface Input {
    topic: number;
    partition: number;
    offset: number | bigint;
    message: {
      key?: Uint8Array | null;
      value?: Uint8Array | null;
      timestamp: number | bigint;
      headers: Header[];
    };
  }
  export interface Content {
    tag: "source" | "null" | "bytes";
    val?: Uint8Array;
  }
  /** A record that goes out. */
  export interface Output {
    source: number | null;
    topic: string | null;
    key: Content;
    value: Content;
    timestamp: number | bigint | null;
    headers: Header[] | null;
  }
}

declare module "millstream:functions/log@0.1.0" {
  export type Level = "trace" | "debug" | "info" | "warn" | "error";
  export function write(level: Level, text: string): void;
}

declare module "millstream:functions/config@0.1.0" {
  export function get(name: string): string | null | undefined;
  export function inputs(): string[];
  export function outputs(): string[];
}

declare module "millstream:functions/state@0.1.0" {
  export class Store {
    constructor(name: string);
    get(key: Uint8Array): Uint8Array | null | undefined;
    put(key: Uint8Array, value: Uint8Array): void;
    delete(key: Uint8Array): void;
    getMany(keys: Uint8Array[]): Array<Uint8Array | null | undefined>;
    putMany(entries: Array<[Uint8Array, Uint8Array | null]>): void;
    scan(start: Uint8Array, end: Uint8Array | null, limit: number): Array<[Uint8Array, Uint8Array]>;
  }
}

declare module "millstream:functions/timers@0.1.0" {
  export type Clock = "event-time" | "wall";
  /** A timer that is due. */
  export interface Due {
    clock: Clock;
    name: Uint8Array;
    at: number | bigint;
  }
  export function set(clock: Clock, name: Uint8Array, at: number | bigint): void;
  export function cancel(clock: Clock, name: Uint8Array): void;
  export function now(clock: Clock): number | bigint | null | undefined;
}

// Of wasi:http, what sdk/http.js asks for.

declare module "wasi:http/types@0.2.12" {
  export interface ErrorCode {
    tag: string;
    val?: unknown;
  }
  type Result<T, E> = { tag: "ok"; val: T } | { tag: "err"; val: E };
  export class Fields {
    static fromList(entries: Array<[string, Uint8Array]>): Fields;
    entries(): Array<[string, Uint8Array]>;
  }
  export class OutgoingRequest {
    constructor(headers: Fields);
    body(): OutgoingBody;
    setMethod(method: { tag: string; val?: string }): void;
    setScheme(scheme: { tag: string; val?: string }): void;
    setAuthority(authority: string): void;
    setPathWithQuery(path: string): void;
  }
  export class RequestOptions {
    setFirstByteTimeout(nanoseconds: number | bigint): void;
  }
  export class OutgoingBody {
    static finish(body: OutgoingBody, trailers: Fields | undefined): void;
    write(): { blockingWriteAndFlush(bytes: Uint8Array): void };
  }
  export interface InputStream {
    blockingRead(length: number | bigint): Uint8Array;
  }
  export interface IncomingBody {
    stream(): InputStream;
  }
  export interface IncomingResponse {
    status(): number;
    headers(): Fields;
    consume(): IncomingBody;
  }
  export interface FutureIncomingResponse {
    subscribe(): { block(): void };
    get(): Result<Result<IncomingResponse, ErrorCode>, undefined> | null | undefined;
  }
}

declare module "wasi:http/outgoing-handler@0.2.12" {
  import type { FutureIncomingResponse, OutgoingRequest, RequestOptions } from "wasi:http/types@0.2.12";
  export function handle(request: OutgoingRequest, options: RequestOptions): FutureIncomingResponse;
}

/** Goes to the deployment's log. */
declare var console: { [level in "trace" | "debug" | "log" | "info" | "warn" | "error"]: (...parts: unknown[]) => void };
declare var performance: { now(): number };
declare function atob(text: string): string;
declare function btoa(text: string): string;

/** Of StarlingMonkey alone. */
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: Uint8Array): string;
}
/** Of StarlingMonkey alone. */
declare class TextEncoder {
  encode(text?: string): Uint8Array;
}

/** Left by `millstream module build`: runs of lines as [first line of the bundle, index of the file, its line]. */
declare var millstreamPositions: { files: string[]; lines: Array<[number, number, number]> } | undefined;
