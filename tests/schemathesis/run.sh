#!/bin/sh
# Runs schemathesis against a started server's own OpenAPI document: no 500, no undocumented status, no answer that the
# document does not describe. Installs it into a virtual environment under the target directory.
#
#   tests/schemathesis/run.sh [path of the millstream binary] [further schemathesis options]
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
binary=${1:-$target/debug/millstream}
[ $# -gt 0 ] && shift

venv=$target/schemathesis
if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "schemathesis>=4,<5"
fi

work=$(mktemp -d)
"$binary" serve --http-addr 127.0.0.1:0 --kafka-addr off --data-dir "$work/data" --ready-file "$work/ready" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM

tries=0
while [ ! -s "$work/ready" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
        cat "$work/log" >&2
        exit 1
    fi
    sleep 0.1
done
url="http://$(head -n 1 "$work/ready")"

# Something to find: a topic with records, a module, and a deployment of each kind.
send() { curl --fail --silent --show-error --output /dev/null "$@"; }
guests=$root/guest-examples/prebuilt
send -X PUT "$url/v1/topics/clicks" -d '{"partitions": 2}'
send "$url/v1/topics/clicks/records" -d '{"key": "a", "value": {"user": 1, "text": "one two"}}'
send -T "$guests/word-count.wasm" "$url/v1/modules/word-count"
send -T "$guests/validate-json.wasm" "$url/v1/modules/validate-json"
send -X PUT "$url/v1/deployments/words" -d '{"kind": "processor", "module": "word-count", "input": {"topics": ["clicks"]},
    "output": {"default": "counts", "create_topics": {"partitions": 1}}}'
send -X PUT "$url/v1/topics/checked" -d '{"partitions": 1}'
send -X PUT "$url/v1/deployments/check" -d '{"kind": "inline", "module": "validate-json", "input": {"topics": ["checked"]},
    "params": {"required": "user"}}'

"$venv/bin/schemathesis" --config-file "$root/tests/schemathesis/schemathesis.toml" run "$url/openapi.json" \
    --checks not_a_server_error,status_code_conformance,response_schema_conformance,content_type_conformance \
    --max-examples "${EXAMPLES:-50}" --request-timeout 70 --no-color "$@"

if ! kill -0 "$server" 2>/dev/null; then
    echo "the server died" >&2
    cat "$work/log" >&2
    exit 1
fi
