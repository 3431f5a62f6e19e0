//! Guests that pass their limits, and the neighbours that must not notice.

use std::time::Duration;

use super::*;
use crate::model::limits::MIB;
use crate::runtime::clock::monotonic;
use crate::runtime::guests::GuestThreads;

const KEEP: &str = "(i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (local.get $len))";
const LOOP: &str = "(loop $again (br $again))";

#[test]
fn an_endless_loop_ends_while_others_go_on() {
    let endless = Guest { body: LOOP, ..Guest::default() }.component();
    let quick = Guest { body: KEEP, ..Guest::default() }.component();
    // One thread: the quick one gets on only because the endless one yields.
    let threads = GuestThreads::start(1).unwrap();
    let looping = threads.handle().spawn("endless", async move {
        let mut transformer = endless.transformer(config().0).await.unwrap();
        transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err()
    });
    let others = threads.handle().spawn("quick", async move {
        let mut transformer = quick.transformer(config().0).await.unwrap();
        let mut slowest = Duration::ZERO;
        for _ in 0..10 {
            let began = monotonic();
            transformer.process(&Records::of(&["a"]).inputs()).await.unwrap();
            slowest = slowest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest
    });
    let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (fault, slowest) = waiting.block_on(async { (looping.await.unwrap(), others.await.unwrap()) });
    let Fault::Limit { kind, detail } = fault else { panic!("{fault:?}") };
    assert_eq!((kind, detail.as_str()), (LimitKind::Cpu, "more than 200ms of CPU time in one call"));
    assert!(slowest < Duration::from_millis(150), "{slowest:?}");
}

#[tokio::test]
async fn a_loop_in_open_ends_too() {
    let fault = Guest { open: LOOP, ..Guest::default() }.transformer().await.err().unwrap();
    assert_eq!(fault.code(), "open_failed");
    assert!(fault.to_string().contains("the CPU time limit was passed"), "{fault}");
}

#[tokio::test]
async fn a_call_that_is_given_up_spends_its_instance() {
    let mut transformer = Guest { body: LOOP, ..Guest::default() }.transformer().await.unwrap();
    let records = Records::of(&["a"]);
    let inputs = records.inputs();
    let given_up = tokio::time::timeout(Duration::from_millis(30), transformer.process(&inputs)).await;
    assert!(given_up.is_err());
    assert_eq!(transformer.process(&inputs).await.unwrap_err().code(), "instance");
}

#[tokio::test]
async fn memory_beyond_the_limit_is_a_fault() {
    // 2,000 pages are 125 MiB; the code aborts when they are refused.
    let body = "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then (unreachable)))";
    let component = Guest { body, ..Guest::default() }.component();
    let mut transformer = component.transformer(config().0).await.unwrap();
    let fault = transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    let Fault::Limit { kind, detail } = fault else { panic!("{fault:?}") };
    assert_eq!(kind, LimitKind::Memory);
    assert!(detail.contains("64MiB are allowed"), "{detail}");
}

#[tokio::test]
async fn a_component_that_starts_too_large_is_refused() {
    let component = Guest { body: KEEP, pages: 2000, ..Guest::default() }.component();
    let fault = component.transformer(config().0).await.err().unwrap();
    let Fault::Open(said) = fault else { panic!("{fault:?}") };
    assert!(said.starts_with("the memory limit was passed: the code wanted 125MiB"), "{said}");
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let rest = "(func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))";
    let guest = Guest { body: "(drop (call $down (i32.const 0)))", rest, ..Guest::default() };
    let fault = guest.transformer().await.unwrap().process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    assert!(fault.to_string().contains("its call stack is exhausted; endless recursion?"), "{fault}");
}

#[tokio::test]
async fn a_stack_that_ends_below_its_memory_is_told_as_recursion_too() {
    let rest = "(func $down (param i32) (result i32)
        (i32.store (local.get 0) (i32.const 1))
        (i32.add (call $down (i32.sub (local.get 0) (i32.const 4096))) (i32.const 1)))";
    let guest = Guest { body: "(drop (call $down (i32.const 65536)))", rest, ..Guest::default() };
    let fault = guest.transformer().await.unwrap().process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    assert!(fault.to_string().contains("it reached outside of its memory; endless recursion?"), "{fault}");
}

#[tokio::test]
async fn overlapping_answers_do_not_fill_the_hosts_memory() {
    // 3,000 rejections whose reasons are the same 60,000 bytes of the guest: 180 MB on the host.
    let body = "(local $i i32)
        (i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (i32.const 3000))
        (loop $next
            (i32.store8 (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 12))) (i32.const 3))
            (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $i) (i32.const 12))) (i32.const 65536))
            (i32.store (i32.add (i32.const 1032) (i32.mul (local.get $i) (i32.const 12))) (i32.const 60000))
            (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3000))))
        (memory.fill (i32.const 65536) (i32.const 97) (i32.const 60000))";
    let component = Guest { body, ..Guest::default() }.component();
    let (mut config, _) = config();
    config.limits.output.records = 100;
    let mut transformer = component.transformer(config).await.unwrap();
    let fault = transformer.process(&Records::of(&["a"]).inputs()).await.unwrap_err();
    assert_eq!(fault.code(), "output_bytes_limit", "{fault}");
}

#[tokio::test]
async fn outputs_are_counted_with_what_they_take_over() {
    // emit of 50 outputs, all zero: key and value are the source's.
    let body = "(i32.store (i32.const 260) (i32.const 512)) (i32.store (i32.const 264) (i32.const 1))
        (i32.store8 (i32.const 512) (i32.const 2)) (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 50))";
    let component = Guest { body, ..Guest::default() }.component();
    let value = "v".repeat(1000);
    let records = Records::of(&[&value]);

    let (mut bytes, _) = config();
    bytes.limits.output.bytes = 20_000;
    let fault = component.transformer(bytes).await.unwrap().process(&records.inputs()).await.unwrap_err();
    assert_eq!(fault.code(), "output_bytes_limit", "{fault}");

    let (mut count, _) = config();
    count.limits.output.records = 49;
    let fault = component.transformer(count).await.unwrap().process(&records.inputs()).await.unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the output records limit was passed: more than 49 outputs of one call; `limits.output.records` of the \
         deployment raises it"
    );

    let outcomes = component.transformer(config().0).await.unwrap().process(&records.inputs()).await.unwrap();
    assert!(matches!(&outcomes[..], [Outcome::Emit(outputs)] if outputs.len() == 50));
}

#[tokio::test]
async fn an_input_larger_than_its_memory_is_a_fault_of_the_call() {
    let component = Guest { body: KEEP, ..Guest::default() }.component();
    let (mut config, _) = config();
    config.limits.memory = MIB as u64;
    let value = "v".repeat(2 * MIB);
    let mut builder = BatchBuilder::new();
    builder.push(0, None, Some(value.as_bytes()), []);
    let records = Records(builder.finish(Codec::None).unwrap().payload(4 * MIB).unwrap());
    let fault = component.transformer(config).await.unwrap().process(&records.inputs()).await.unwrap_err();
    assert_eq!(fault.code(), "memory_limit", "{fault}");
}

#[tokio::test]
async fn instances_of_a_node_are_counted() {
    let mut component = Guest { body: KEEP, ..Guest::default() }.component();
    component.engine.instances = Arc::new(tokio::sync::Semaphore::new(1));
    component.engine.limits.instances = 1;
    let first = component.transformer(config().0).await.unwrap();
    let fault = component.transformer(config().0).await.err().unwrap();
    assert!(fault.to_string().contains("instances run on this node already"), "{fault}");
    drop(first);
    component.transformer(config().0).await.unwrap();
}
