//! What is broken, and which model has to find it.
//!
//! Each is one promise of the bus. A few cannot be shown by loom and are left out:
//! it gives a read-modify-write the last value in any case, so that an order which
//! is too weak shows only where something else is published by it; and reference
//! counts are the standard library's, which it does not see.

use crate::process::{Failure, Result};

/// A change that breaks a promise.
pub(super) struct Mutation {
    /// What it does.
    pub(super) breaks: &'static str,
    /// In `core/src`.
    pub(super) file: &'static str,
    /// What is replaced, and by what. Each stands there once.
    changes: &'static [(&'static str, &'static str)],
    /// In `bus::models`.
    pub(super) found_by: &'static str,
}

impl Mutation {
    /// The code, broken.
    pub(super) fn apply(&self, code: &str) -> Result<String> {
        let mut code = code.to_owned();
        for (from, to) in self.changes {
            if code.matches(from).count() != 1 {
                return Err(Failure::new(format!(
                    "{} does not have this once, for the mutation `{}`: bring \
                     xtask/src/loom/mutations.rs up to date:\n{from}",
                    self.file, self.breaks
                )));
            }
            code = code.replace(from, to);
        }
        Ok(code)
    }
}

pub(super) const MUTATIONS: &[Mutation] = &[
    Mutation {
        breaks: "a value is stored after the wake-up",
        file: "watched.rs",
        changes: &[(
            "        self.value.store(value);\n        self.wake.wake();",
            "        self.wake.wake();\n        self.value.store(value);",
        )],
        found_by: "watched::a_value_that_is_stored_is_seen_by_who_waits_for_it",
    },
    Mutation {
        breaks: "who registers does not look again",
        file: "bus/wake.rs",
        changes: &[(
            "polled(waker));\n                true",
            "polled(waker));\n                false",
        )],
        found_by: "wake::what_is_published_while_a_waiter_registers_wakes_it",
    },
    Mutation {
        breaks: "who puts its arm up does not look again",
        file: "bus/wake.rs",
        changes: &[(
            "        self.chunk.arm(self.cell);\n        true",
            "        self.chunk.arm(self.cell);\n        false",
        )],
        found_by: "wake::a_waiter_that_stays_is_woken_each_time_whether_its_arm_is_up_or_down",
    },
    Mutation {
        breaks: "a writer passes the gate without releasing what it published",
        file: "bus/wake.rs",
        changes: &[(
            "self.core.gate.fetch_add(TICK, AcqRel)",
            "self.core.gate.fetch_add(TICK, crate::sync::Acquire)",
        )],
        found_by: "wake::what_is_published_while_a_waiter_registers_wakes_it",
    },
    Mutation {
        breaks: "a waiter passes the gate relaxed",
        file: "bus/wake.rs",
        changes: &[(
            "self.gate.fetch_add(u64::from(more), AcqRel)",
            "self.gate.fetch_add(u64::from(more), crate::sync::Relaxed)",
        )],
        found_by: "wake::what_is_published_while_a_waiter_registers_wakes_it",
    },
    Mutation {
        breaks: "a sweep looks for arms by a load",
        file: "bus/wake/chunk.rs",
        changes: &[(
            "let armed = self.armed.fetch_and(keep, AcqRel);",
            "let armed = self.armed.load(Acquire) & (keep | u64::MAX);",
        )],
        found_by: "wake::two_that_register_at_once_are_both_woken",
    },
    Mutation {
        breaks: "wakers of an old copy are woken",
        file: "bus/wake/chunk.rs",
        changes: &[
            ("filter(|copy| copy.version == version)", "filter(|_| true)"),
            (
                "        if self.copy.load().is_some() {\n            self.copy.store(None);\n        }",
                "",
            ),
        ],
        found_by: "wake::one_that_comes_while_the_wakers_are_copied_is_woken",
    },
    Mutation {
        breaks: "a ring during a pass is used up by it",
        file: "bus/pump.rs",
        changes: &[(
            "            passes = passes.wrapping_add(1);\n            continue;",
            "            passes = passes.wrapping_add(1);\n            let _ = end.pump.root.take();\n            continue;",
        )],
        found_by: "pump::a_pump_that_runs_already_misses_no_ring",
    },
    Mutation {
        breaks: "who waits for a bell does not look again",
        file: "bus/pump.rs",
        changes: &[(
            "        match self.take() {\n            Some(rung) => Poll::Ready(rung),\n            None => Poll::Pending,\n        }",
            "        Poll::Pending",
        )],
        found_by: "bell::a_ring_during_a_pass_leads_to_another_pass",
    },
    Mutation {
        breaks: "a bell is rung relaxed",
        file: "bus/pump.rs",
        changes: &[(
            "let before = self.state.fetch_or(RUNG, AcqRel);",
            "let before = self.state.fetch_or(RUNG, Relaxed);",
        )],
        found_by: "bell::a_ring_during_a_pass_leads_to_another_pass",
    },
    Mutation {
        breaks: "a pump that ends wakes before it says so",
        file: "bus/pump.rs",
        changes: &[(
            "        self.pump.each_bell(Bell::stop);\n        if let Some(core) = self.core.upgrade() {\n            core.sweep_all(true);\n        }",
            "        if let Some(core) = self.core.upgrade() {\n            core.sweep_all(true);\n        }\n        self.pump.each_bell(Bell::stop);",
        )],
        found_by: "pump::who_rings_while_the_pump_ends_wakes_those_who_wait_itself",
    },
    Mutation {
        breaks: "a pump that is never polled says nothing at its end",
        file: "bus/pump.rs",
        changes: &[(
            "runtime.spawn(root(End { core, pump }));",
            "runtime.spawn(async move { root(End { core, pump }).await });",
        )],
        found_by: "pump::nobody_is_forgotten_when_the_runtime_of_the_pump_shuts_down",
    },
    Mutation {
        breaks: "a pump outlives its wake set",
        file: "bus/wake.rs",
        changes: &[("        Pump::stop(&self.core);\n", "")],
        found_by: "pump::the_pump_wakes_who_waits_and_ends_with_its_wake_set",
    },
    Mutation {
        breaks: "a branch is not rung",
        file: "bus/pump.rs",
        changes: &[(
            "            if !bell.ring() {",
            "            if lane < 1 && !bell.ring() {",
        )],
        found_by: "pump::the_branches_of_the_pump_wake_who_waits_and_end",
    },
    Mutation {
        breaks: "a group's first look is not ordered behind its waker",
        file: "bus/group/marks.rs",
        changes: &[("        self.summary.fetch_or(0, AcqRel);\n", "")],
        found_by: "group::a_member_that_is_woken_is_polled_even_before_its_group_runs",
    },
    Mutation {
        breaks: "the marks of a group's word are taken by a load and a store",
        file: "bus/group/marks.rs",
        changes: &[(
            "marked.swap(0, AcqRel))",
            "{\n            let members = marked.load(crate::sync::Acquire);\n            marked.store(0, crate::sync::Release);\n            members\n        })",
        )],
        found_by: "group::members_that_are_woken_at_once_are_all_polled",
    },
    Mutation {
        breaks: "a worker does not pass the gate",
        file: "bus/doors.rs",
        changes: &[("        wake.pass_gate();\n", "        let _ = wake;\n")],
        found_by: "doors::a_frame_that_is_published_while_a_worker_goes_to_its_door_wakes_it",
    },
    Mutation {
        breaks: "a worker that looks whether somebody has come turns a knock away",
        file: "bus/doors.rs",
        changes: &[(
            "        self.is_waiting.load(Acquire)\n",
            "        self.waiting.take().is_none_or(|waiting| waiting.is_some())\n",
        )],
        found_by: "doors::a_frame_that_is_published_while_a_worker_goes_to_its_door_wakes_it",
    },
    Mutation {
        breaks: "a block is sealed before the next one is linked",
        file: "bus/chain.rs",
        changes: &[
            ("        self.next.store(Some(next));\n", ""),
            (
                "            .store(u32::try_from(len).unwrap_or(OPEN - 1), Release);",
                "            .store(u32::try_from(len).unwrap_or(OPEN - 1), Release);\n        self.next.store(Some(next));",
            ),
        ],
        found_by: "chain::a_reader_goes_from_block_to_block_and_misses_no_entry",
    },
    Mutation {
        breaks: "a reader leaves a sealed block without a last look",
        file: "bus/chain.rs",
        changes: &[("            return End::More;\n", "")],
        found_by: "chain::an_entry_before_the_seal_is_read_before_the_next_block",
    },
    Mutation {
        breaks: "entries count as published before they stand there",
        file: "bus/stream.rs",
        changes: &[(
            "self.published.store(seq, Release);",
            "self.published.store(seq, Relaxed);",
        )],
        found_by: "stream::a_frame_that_is_published_while_its_reader_parks_is_read",
    },
    Mutation {
        breaks: "the end is stored after the wake-up",
        file: "bus/life.rs",
        changes: &[
            (
                "        self.writer.wait().end(self);\n        self.set_lifecycle(Lifecycle::Ended, epoch);",
                "        self.set_lifecycle(Lifecycle::Ended, epoch);",
            ),
            (
                "        // First the end, then the wake-up: whoever wakes finds it.\n        self.wake.wake();",
                "        self.wake.wake();\n        self.writer.wait().end(self);",
            ),
        ],
        found_by: "stream::all_that_was_published_is_read_before_the_end",
    },
    Mutation {
        breaks: "a reader looks for the end after it looked for an entry",
        file: "bus/subscription/state.rs",
        changes: &[(
            "Found::End(End::Open) if closed =>",
            "Found::End(End::Open) if closed | self.stream.is_closed() =>",
        )],
        found_by: "stream::who_begins_to_read_at_the_end_reads_what_came_before_it",
    },
    Mutation {
        breaks: "a publisher that was taken over still writes",
        file: "bus/publisher.rs",
        changes: &[(
            "    if let Some(writer) = stream.writer.take()\n        && writer.is_of(epoch)\n    {",
            "    if let Some(writer) = stream.writer.take() {",
        )],
        found_by: "stream::a_publisher_that_is_taken_over_puts_nothing_behind_its_successor",
    },
    Mutation {
        breaks: "a publisher that meets another one takes itself for ended",
        file: "bus/publisher.rs",
        changes: &[(
            "    if !life.is_held_by(epoch) {",
            "    if !life.is_held_by(epoch) | true {",
        )],
        found_by: "stream::who_was_taken_over_from_is_in_no_way_of_the_one_who_took_over",
    },
    Mutation {
        breaks: "a block expires before the join point in it is dropped",
        file: "bus/writer/keep.rs",
        changes: &[
            (
                "            if needed {",
                "            self.expire_first();\n            if needed {",
            ),
            (
                "                self.drop_gop(stream);\n            }\n            self.expire_first();\n        }\n        self.release",
                "                self.drop_gop(stream);\n            }\n        }\n        self.release",
            ),
        ],
        found_by: "stream::who_joins_a_gop_that_there_is_no_room_for_starts_again_behind_it",
    },
    Mutation {
        breaks: "a reader that fell behind does not say so",
        file: "bus/subscription/state.rs",
        changes: &[(
            "            self.lagged = true;\n            let frames",
            "            let frames",
        )],
        found_by: "stream::a_reader_of_what_expires_never_goes_back_and_knows_what_it_missed",
    },
    Mutation {
        breaks: "a reader whose block is taken away is not told",
        file: "bus/subscription/state.rs",
        changes: &[(
            "map_or(Found::Gone, |here|",
            "map_or(Found::End(End::Open), |here|",
        )],
        found_by: "stream::a_reader_whose_block_is_taken_away_knows_what_it_missed",
    },
];
