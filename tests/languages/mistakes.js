// A transform that does with a record what its value asks for: what strangers do wrong, and what they are told is in run.py.

import { drop, eachRecord, emit, keep, reject } from "../sdk/millstream.js";

const deeper = (found) => found.member.of;

const does = {
  throws: () => {
    throw new Error("no such customer");
  },
  "reads undefined": () => deeper({}),
  "throws text": () => {
    throw "just text";
  },
  "returns text": () => "HELLO",
  "returns a promise": async () => keep,
  "emits text": () => emit("HELLO"),
  "emits its value": () => emit({ price: 5 }),
  "emits a function": () => emit({ value: () => 5 }),
  "emits a date as timestamp": () => emit({ timestamp: new Date(0) }),
  "emits to 5": () => emit({ topic: 5 }),
  "emits to nowhere": () => emit({ topic: "nowhere" }),
  logs: () => {
    console.log("seen", { a: 1 }, [2]);
    console.warn("odd");
    return keep;
  },
  loops: () => {
    for (;;);
  },
  recurses: () => does.recurses() + 1,
  "emits much": () => emit({ value: new Uint8Array(40_000_000) }),
  "takes memory": () => {
    const all = [];
    for (;;) all.push(new Uint8Array(1_000_000));
  },
  fetches: () => fetch("http://localhost"),
  waits: () => setTimeout(() => {}, 10),
  "tells the time": () => emit({ value: new Date().getFullYear() }),
  draws: () => emit({ value: Math.random() }),
  rejects: () => reject("because"),
  drops: () => drop,
};

export const transform = eachRecord((record) => does[record.text()]());
