"""Medians of the rounds as Markdown, ours beside Kafka's, and which of the aims they reach."""

import statistics

# The first column of each is measured against the second.
PAIRS = [("millstream", "kafka"), ("millstream", "kafka-flush"), ("millstream-os", "kafka")]


def markdown(results, titles):
    parts = [heading(results)]
    for tool, operation in operations(results):
        parts.append(throughput(results, titles, tool, operation))
    parts += [aims(results, titles), latency(results, titles), processes(results, titles), scarce(results)]
    if results["failures"]:
        parts.append("Failed:\n\n" + "".join(f"* {failure}\n" for failure in results["failures"]))
    return "\n".join(part for part in parts if part)


def heading(results):
    kind = "a quick run, worth little" if results["quick"] else f"medians of {results['rounds']} rounds"
    return f"{results['machine']['cores']} cores, {results['machine']['system']}; {kind}; {results['took_s'] / 60:.0f} minutes.\n"


def operations(results):
    return list(dict.fromkeys((s["tool"], s["operation"]) for s in results["samples"]))


def table(head, rows):
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def median(samples, value):
    """Of the rounds; nothing when there were none."""
    values = [value(sample) for sample in samples]
    return statistics.median(values) if values else None


def pick(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def rate(sample):
    return sample["records_s"]


def cpu_per_million(sample):
    return sample["server_cpu_s"] / sample["records"] * 1e6


def throughput(results, titles, tool, operation):
    samples = pick(results["samples"], tool=tool, operation=operation)
    cells = list(dict.fromkeys(sample["cell"] for sample in samples))
    name = {"rdkafka": "rdkafka_performance", "java": "Kafka's perf tools"}[tool]
    rows = []
    for broker, title in titles.items():
        own = pick(samples, broker=broker)
        values = [shown(pick(own, cell=cell)) for cell in cells]
        if own:
            rows.append([title, *values])
    head = [f"{operation}, {name}: records/s, server CPU s per million", *(cell.replace("/", " B, ", 1).replace("/", ", ") for cell in cells)]
    return table(head, rows)


def shown(samples):
    if not samples:
        return ""
    return f"{median(samples, rate):,.0f} · {median(samples, cpu_per_million):.3f}"


def aims(results, titles):
    """Throughput as a multiple of Kafka's, server CPU as a part of it, and how busy the client was: at 100 % of a core it
    is the limit."""
    rows = []
    for tool, operation in operations(results):
        for cell in dict.fromkeys(s["cell"] for s in pick(results["samples"], tool=tool, operation=operation)):
            for ours, theirs in PAIRS:
                a = pick(results["samples"], tool=tool, operation=operation, cell=cell, broker=ours)
                b = pick(results["samples"], tool=tool, operation=operation, cell=cell, broker=theirs)
                if a and b:
                    faster = median(a, rate) / median(b, rate)
                    cheaper = median(a, cpu_per_million) / max(median(b, cpu_per_million), 1e-9)
                    client = median(a, lambda s: s["client_cpu_s"] / s["seconds"])
                    reached = "yes" if faster >= 1.5 or cheaper <= 0.5 else "no"
                    rows.append([f"{operation} {cell}, {tool}", f"{titles[ours]} / {titles[theirs]}", f"{faster:.2f}",
                                 f"{cheaper:.2f}", f"{client:.1f}", reached])
    head = ["what", "who", "records/s, times", "server CPU, times", "cores of the client", "1.5 times, or half the CPU"]
    return table(head, rows)


def latency(results, titles):
    rows = []
    for rate_ in dict.fromkeys(row["rate"] for row in results["latencies"]):
        for broker, title in titles.items():
            own = pick(results["latencies"], rate=rate_, broker=broker)
            if own:
                of = lambda name: f"{median(own, lambda row: row[name]):.2f}"  # noqa: B023, E731
                rows.append([f"{rate_:,}/s", title, of("p50_ms"), of("p99_ms"), of("p999_ms"), of("max_ms"),
                             of("sent_late_max_ms"), of("server_cores")])
    head = ["end to end, open loop", "broker", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "sent late, max ms", "server cores"]
    return table(head, rows)


def processes(results, titles):
    rows = []
    for broker, title in titles.items():
        own = pick(results["processes"], broker=broker)
        if own:
            of = lambda name: median(own, lambda row: row[name])  # noqa: B023
            rows.append([title, f"{of('start_s') * 1000:,.0f}", f"{of('rss_peak_mib'):,.0f}", f"{of('rss_end_mib'):,.0f}",
                         f"{of('cpu_s'):.1f}"])
    head = ["broker", "start to first Metadata, ms", "RSS peak, MiB", "RSS after the load, MiB", "CPU s, all of the load"]
    return table(head, rows)


def scarce(results):
    """Throughput with memory=256MiB as a part of that with the default."""
    rows = []
    for tool, operation in operations(results):
        for cell in dict.fromkeys(s["cell"] for s in results["samples"]):
            full = pick(results["samples"], tool=tool, operation=operation, cell=cell, broker="millstream")
            scant = pick(results["samples"], tool=tool, operation=operation, cell=cell, broker="millstream-256")
            if full and scant:
                rows.append([f"{operation} {cell}", f"{median(scant, rate) / median(full, rate):.2f}"])
    return table(["Millstream with `memory=256MiB`", "of the default's records/s"], rows)
