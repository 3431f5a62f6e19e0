;; WASI preview 1 in terms of WASI 0.2, for core modules of toolchains that know preview 1 alone (Go, wasi-libc): what
;; `componentize` puts between such a module and the server.
;;
;; It allocates nothing. The usual adapter grows the guest's memory for a state of its own, and Go's runtime takes every page
;; of its memory for its own. Where WASI 0.2 answers through memory, the answer goes to the guest's first 16 bytes, which are
;; put back.
;;
;; A component may call nothing outside while it makes room for what it is handed (`cabi_realloc`) or clears up behind an
;; answer (`cabi_post_…`), and Go's runtime looks at its clocks there, to collect garbage. Between `hold(1)` and `hold(0)`, which
;; are no part of preview 1, the clocks stand still, sleep is over at once and what is written is lost.
;;
;; There are clocks, random numbers, sleep and two streams that lead to the log. There are no arguments, no environment and
;; no files: whatever names a file or a socket is told `badf`.
;;
;; A test assembles this file together with adapter.wit and compares the result with adapter.wasm.
(module
  (import "env" "memory" (memory 0))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))
  (import "wasi:cli/stderr@0.2.0" "get-stderr" (func $stderr (result i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop_stream (param i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop_pollable (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $monotonic (result i64)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
  (import "wasi:clocks/wall-clock@0.2.0" "now" (func $wall (param i32)))
  (import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))

  ;; errno: 0 success, 8 badf, 28 inval, 29 io, 52 nosys, 58 notsup

  (global $held (mut i32) (i32.const 0))
  (func (export "hold") (param $held i32) (global.set $held (local.get $held)))

  ;; what the two clocks said last
  (global $last_wall (mut i64) (i64.const 0))
  (global $last_monotonic (mut i64) (i64.const 0))

  ;; nanoseconds of clock 0, the time of day, or of any other, which goes on evenly
  (func $now (param $clock i32) (result i64)
    (local $low i64) (local $high i64)
    (if (global.get $held)
      (then (return (select (global.get $last_monotonic) (global.get $last_wall) (local.get $clock)))))
    (if (local.get $clock)
      (then
        (global.set $last_monotonic (call $monotonic))
        (return (global.get $last_monotonic))))
    (local.set $low (i64.load (i32.const 0)))
    (local.set $high (i64.load (i32.const 8)))
    (call $wall (i32.const 0))
    (global.set $last_wall (i64.add
      (i64.mul (i64.load (i32.const 0)) (i64.const 1000000000))
      (i64.load32_u (i32.const 8))))
    (i64.store (i32.const 0) (local.get $low))
    (i64.store (i32.const 8) (local.get $high))
    (global.get $last_wall))

  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $clock) (i32.const 1)) (then (return (i32.const 28))))
    (i64.store (local.get $out) (call $now (local.get $clock)))
    (i32.const 0))

  (func (export "clock_res_get") (param $clock i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $clock) (i32.const 1)) (then (return (i32.const 28))))
    (i64.store (local.get $out) (i64.const 1000))
    (i32.const 0))

  (func (export "random_get") (param $to i32) (param $len i32) (result i32)
    (local $drawn i64)
    (block $done (loop $words
      (br_if $done (i32.lt_u (local.get $len) (i32.const 8)))
      (i64.store align=1 (local.get $to) (call $random))
      (local.set $to (i32.add (local.get $to) (i32.const 8)))
      (local.set $len (i32.sub (local.get $len) (i32.const 8)))
      (br $words)))
    (local.set $drawn (call $random))
    (block $done (loop $bytes
      (br_if $done (i32.eqz (local.get $len)))
      (i64.store8 (local.get $to) (local.get $drawn))
      (local.set $drawn (i64.shr_u (local.get $drawn) (i64.const 8)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (local.set $len (i32.sub (local.get $len) (i32.const 1)))
      (br $bytes)))
    (i32.const 0))

  ;; whether the first `len` bytes from `from` on arrived; one write takes 4096
  (func $write_all (param $stream i32) (param $from i32) (param $len i32) (result i32)
    (local $part i32) (local $low i64) (local $high i64) (local $failed i32)
    (block $done (loop $parts
      (br_if $done (i32.eqz (local.get $len)))
      (local.set $part
        (select (local.get $len) (i32.const 4096) (i32.lt_u (local.get $len) (i32.const 4096))))
      (local.set $low (i64.load (i32.const 0)))
      (local.set $high (i64.load (i32.const 8)))
      (call $write (local.get $stream) (local.get $from) (local.get $part) (i32.const 0))
      (local.set $failed (i32.load8_u (i32.const 0)))
      (i64.store (i32.const 0) (local.get $low))
      (i64.store (i32.const 8) (local.get $high))
      (if (local.get $failed) (then (return (i32.const 0))))
      (local.set $from (i32.add (local.get $from) (local.get $part)))
      (local.set $len (i32.sub (local.get $len) (local.get $part)))
      (br $parts)))
    (i32.const 1))

  ;; bytes of all parts together
  (func $length (param $iovs i32) (param $count i32) (result i32)
    (local $total i32)
    (block $done (loop $each
      (br_if $done (i32.eqz (local.get $count)))
      (local.set $total (i32.add (local.get $total) (i32.load offset=4 (local.get $iovs))))
      (local.set $iovs (i32.add (local.get $iovs) (i32.const 8)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $each)))
    (local.get $total))

  (func (export "fd_write") (param $fd i32) (param $iovs i32) (param $count i32) (param $written i32) (result i32)
    (local $stream i32)
    (i32.store (local.get $written) (call $length (local.get $iovs) (local.get $count)))
    (if (global.get $held) (then (return (i32.const 0))))
    (if (i32.eq (local.get $fd) (i32.const 1))
      (then (local.set $stream (call $stdout)))
      (else
        (if (i32.ne (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
        (local.set $stream (call $stderr))))
    (block $done (loop $each
      (br_if $done (i32.eqz (local.get $count)))
      (if (i32.eqz (call $write_all
          (local.get $stream) (i32.load (local.get $iovs)) (i32.load offset=4 (local.get $iovs))))
        (then
          (call $drop_stream (local.get $stream))
          (return (i32.const 29))))
      (local.set $iovs (i32.add (local.get $iovs) (i32.const 8)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $each)))
    (call $drop_stream (local.get $stream))
    (i32.const 0))

  ;; stdin is at its end
  (func (export "fd_read") (param $fd i32) (param $iovs i32) (param $count i32) (param $read i32) (result i32)
    (if (local.get $fd) (then (return (i32.const 8))))
    (i32.store (local.get $read) (i32.const 0))
    (i32.const 0))

  ;; the three streams are character devices, so that C's library writes its output line by line
  (func (export "fd_fdstat_get") (param $fd i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $fd) (i32.const 2)) (then (return (i32.const 8))))
    (i64.store (local.get $out) (i64.const 2))
    ;; the rights fd_read and fd_write
    (i64.store offset=8 (local.get $out) (i64.const 66))
    (i64.store offset=16 (local.get $out) (i64.const 0))
    (i32.const 0))

  (func (export "fd_fdstat_set_flags") (param $fd i32) (param i32) (result i32)
    (select (i32.const 8) (i32.const 0) (i32.gt_u (local.get $fd) (i32.const 2))))

  (func (export "fd_close") (param $fd i32) (result i32)
    (select (i32.const 8) (i32.const 0) (i32.gt_u (local.get $fd) (i32.const 2))))

  ;; how long a subscription has to wait yet; 0 for one that is of no clock
  (func $wait_of (param $in i32) (result i64)
    (local $time i64) (local $now i64)
    (if (i32.load8_u offset=8 (local.get $in)) (then (return (i64.const 0))))
    (local.set $time (i64.load offset=24 (local.get $in)))
    ;; an absolute time
    (if (i32.and (i32.load16_u offset=40 (local.get $in)) (i32.const 1))
      (then
        (local.set $now (call $now (i32.load offset=16 (local.get $in))))
        (if (i64.le_u (local.get $time) (local.get $now)) (then (return (i64.const 0))))
        (return (i64.sub (local.get $time) (local.get $now)))))
    (local.get $time))

  ;; Sleeps until the first of the subscriptions; those of files and sockets are told `notsup` at once. The lengths are 48
  ;; for a subscription and 32 for an event.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (local $at i32) (local $end i32) (local $wait i64) (local $least i64) (local $pollable i32) (local $found i32)
    (if (i32.eqz (local.get $count)) (then (return (i32.const 28))))
    (local.set $end (i32.add (local.get $in) (i32.mul (local.get $count) (i32.const 48))))
    (local.set $least (i64.const -1))
    (local.set $at (local.get $in))
    (loop $each
      (local.set $wait (call $wait_of (local.get $at)))
      (if (i64.lt_u (local.get $wait) (local.get $least)) (then (local.set $least (local.get $wait))))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if $each (i32.lt_u (local.get $at) (local.get $end))))
    (if (i32.and (i64.ne (local.get $least) (i64.const 0)) (i32.eqz (global.get $held)))
      (then
        (local.set $pollable (call $subscribe (local.get $least)))
        (call $block (local.get $pollable))
        (call $drop_pollable (local.get $pollable))))

    (local.set $at (local.get $in))
    (loop $each
      (local.set $wait (call $wait_of (local.get $at)))
      ;; relative ones are over when the shortest of them is
      (if (i32.or (i64.eqz (local.get $wait)) (i64.eq (local.get $wait) (local.get $least)))
        (then
          (i64.store (local.get $out) (i64.load (local.get $at)))
          (i64.store offset=8 (local.get $out) (i64.const 0))
          (i64.store offset=16 (local.get $out) (i64.const 0))
          (i64.store offset=24 (local.get $out) (i64.const 0))
          (i32.store8 offset=10 (local.get $out) (i32.load8_u offset=8 (local.get $at)))
          (if (i32.load8_u offset=8 (local.get $at))
            (then (i32.store16 offset=8 (local.get $out) (i32.const 58))))
          (local.set $out (i32.add (local.get $out) (i32.const 32)))
          (local.set $found (i32.add (local.get $found) (i32.const 1)))))
      (local.set $at (i32.add (local.get $at) (i32.const 48)))
      (br_if $each (i32.lt_u (local.get $at) (local.get $end))))
    (i32.store (local.get $events) (local.get $found))
    (i32.const 0))

  (func $none (param $count i32) (param $bytes i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $bytes) (i32.const 0))
    (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  (func (export "proc_exit") (param i32) (unreachable))
  (func (export "proc_raise") (param i32) (result i32) (i32.const 52))
  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; there are no such files
  (func (export "fd_advise") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_allocate") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_datasync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_rights") (param i32 i64 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_times") (param i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_renumber") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_tell") (param i32 i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_set_times") (param i32 i32 i32 i32 i64 i64 i32) (result i32) (i32.const 8))
  (func (export "path_link") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_symlink") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_accept") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_recv") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_send") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "sock_shutdown") (param i32 i32) (result i32) (i32.const 8)))
