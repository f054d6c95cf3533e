//! Groups of commands against every reply that can come between them.
//!
//! Its own file, because it is as long as what it tests.

use super::*;

fn reply(text: &str) -> Reply {
    let (reply, _) = Reply::parse(format!("{text}\r\n").as_bytes())
        .unwrap()
        .unwrap();
    reply
}

/// Answers a group, and gives the last step.
fn answered(transaction: &mut Transaction, replies: &[&str]) -> Step {
    let mut last = Step::Wait;
    for (at, text) in replies.iter().enumerate() {
        last = transaction.answer(reply(text));
        let is_last = at + 1 == replies.len();
        assert!(is_last || last == Step::Wait, "{text}: {last:?}");
    }
    last
}

fn grouped(recipients: usize) -> Transaction {
    let mut transaction = Transaction::new(Mode::Grouped, recipients, false);
    transaction.take_commands();
    transaction
}

fn fault(step: Step) -> (Class, Option<u16>) {
    match step {
        Step::Finished(Outcome::Failed { fault, .. })
        | Step::Closed(Outcome::Failed { fault, .. }) => {
            (fault.class, fault.reply.map(|it| it.code))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_that_is_taken_is_sent() {
    let mut transaction = grouped(1);
    let step = answered(&mut transaction, &["250 ok", "250 ok", "354 go"]);
    assert_eq!(step, Step::Body);
    transaction.begin_body();
    assert_eq!(transaction.awaits(), Some(Command::Body));
    let Step::Finished(Outcome::Sent { reply, refused }) =
        answered(&mut transaction, &["250 2.0.0 queued as 7"])
    else {
        panic!("not sent");
    };
    assert_eq!(reply.text, "2.0.0 queued as 7");
    assert!(refused.is_empty() && !transaction.leaves_open());
}

#[test]
fn each_refusal_in_a_group_leaves_the_other_replies_in_their_place() {
    // The sender: whatever follows is about that.
    let mut sender = grouped(2);
    let replies = [
        "550 5.7.1 no",
        "503 need MAIL",
        "503 need MAIL",
        "503 need RCPT",
    ];
    let step = answered(&mut sender, &replies);
    assert_eq!(fault(step), (Class::Permanent, Some(550)));
    assert!(!sender.leaves_open());

    // The only recipient: its fault, not the one of DATA, and the server waits within the transaction.
    let mut recipient = grouped(1);
    let step = answered(
        &mut recipient,
        &["250 ok", "550 5.1.1 who", "554 5.5.1 nobody"],
    );
    assert_eq!(fault(step), (Class::Permanent, Some(550)));
    assert!(recipient.leaves_open());

    // DATA alone.
    let mut data = grouped(1);
    let step = answered(&mut data, &["250 ok", "250 ok", "451 4.3.0 later"]);
    assert_eq!(fault(step), (Class::Transient, Some(451)));
    assert!(data.leaves_open());

    // The body.
    let mut body = grouped(1);
    answered(&mut body, &["250 ok", "250 ok", "354 go"]);
    body.begin_body();
    let step = answered(&mut body, &["554 5.6.0 no"]);
    assert_eq!(fault(step), (Class::Permanent, Some(554)));
    assert!(!body.leaves_open());
}

#[test]
fn one_of_two_recipients_is_refused_and_the_message_goes_to_the_other() {
    let mut transaction = grouped(2);
    let step = answered(
        &mut transaction,
        &["250 ok", "550 5.1.1 who", "250 ok", "354 go"],
    );
    assert_eq!(step, Step::Body);
    transaction.begin_body();
    let Step::Finished(Outcome::Sent { refused, .. }) = answered(&mut transaction, &["250 ok"])
    else {
        panic!("not sent");
    };
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].recipient, 0);
    assert!(refused[0].fault.suppress);
}

#[test]
fn data_that_is_let_in_without_a_recipient_gets_a_lone_dot() {
    let mut transaction = grouped(1);
    let step = answered(&mut transaction, &["250 ok", "550 5.1.1 who", "354 go"]);
    assert_eq!(step, Step::LoneDot);
    transaction.begin_lone_dot();
    let step = answered(&mut transaction, &["250 ok"]);
    assert_eq!(fault(step), (Class::Permanent, Some(550)));
    assert!(!transaction.leaves_open());
}

#[test]
fn a_connection_that_ends_leaves_each_message_its_class() {
    let class = |outcome: Outcome| outcome.class().unwrap();
    for known in [&[][..], &["250 ok"], &["250 ok", "250 ok", "354 go"]] {
        let mut transaction = grouped(1);
        answered(&mut transaction, known);
        assert_eq!(class(transaction.cut("eof")), Class::NotSent, "{known:?}");
    }
    let mut begun = grouped(1);
    answered(&mut begun, &["250 ok", "250 ok", "354 go"]);
    begun.begin_body();
    assert_eq!(class(begun.cut("eof")), Class::Uncertain);

    // What was refused stays refused.
    let mut refused = grouped(1);
    answered(&mut refused, &["250 ok", "550 5.1.1 who"]);
    assert_eq!(class(refused.cut("eof")), Class::Permanent);

    let mut chunk = Transaction::new(Mode::Chunked, 1, false);
    chunk.take_commands();
    answered(&mut chunk, &["250 ok"]);
    assert_eq!(class(chunk.cut("eof")), Class::Uncertain);
}

#[test]
fn a_421_closes_wherever_it_comes() {
    let at = |before: &[&str]| {
        let mut transaction = grouped(1);
        answered(&mut transaction, before);
        transaction
    };
    for before in [&[][..], &["250 ok"], &["250 ok", "250 ok"]] {
        let step = at(before).answer(reply("421 4.3.2 bye"));
        assert!(matches!(step, Step::Closed(_)), "{step:?}");
        assert_eq!(fault(step).0, Class::NotSent);
    }
    let mut body = at(&["250 ok", "250 ok", "354 go"]);
    body.begin_body();
    let step = body.answer(reply("421 4.3.2 bye"));
    assert!(matches!(step, Step::Closed(_)), "{step:?}");
    assert_eq!(fault(step).0, Class::Transient);
    let mut refused = at(&["250 ok", "550 5.1.1 who"]);
    let step = refused.answer(reply("421 too many errors"));
    assert_eq!(fault(step), (Class::Permanent, Some(550)));
}

#[test]
fn a_reply_that_fits_no_command_closes() {
    for (before, wrong) in [
        (&[][..], "354 go"),
        (&["250 ok"], "334 x"),
        (&["250 ok", "250 ok"], "250 ok"),
        (&["250 ok", "250 ok"], "334 x"),
    ] {
        let mut transaction = grouped(1);
        answered(&mut transaction, before);
        let step = transaction.answer(reply(wrong));
        assert!(matches!(step, Step::Closed(_)), "{wrong}: {step:?}");
        assert_eq!(fault(step).0, Class::NotSent);
    }
    let mut body = grouped(1);
    answered(&mut body, &["250 ok", "250 ok", "354 go"]);
    body.begin_body();
    assert_eq!(fault(body.answer(reply("354 go"))).0, Class::Uncertain);
    let mut nothing = Transaction::new(Mode::Grouped, 1, false);
    assert!(matches!(nothing.answer(reply("250 ok")), Step::Closed(_)));
}

#[test]
fn serial_commands_go_one_by_one_and_stop_where_they_are_refused() {
    let next = |transaction: &mut Transaction| {
        let commands = transaction.take_commands();
        assert_eq!(commands.len(), 1);
        commands[0]
    };
    let mut sent = Transaction::new(Mode::Serial, 2, true);
    let expected = [
        (Command::Reset, "250 ok", Step::Next),
        (Command::Mail, "250 ok", Step::Next),
        (Command::Recipient(0), "550 5.1.1 who", Step::Next),
        (Command::Recipient(1), "250 ok", Step::Next),
        (Command::Data, "354 go", Step::Body),
    ];
    for (command, text, step) in expected {
        assert_eq!(next(&mut sent), command);
        assert_eq!(sent.answer(reply(text)), step, "{command:?}");
    }
    let mut sender = Transaction::new(Mode::Serial, 1, false);
    next(&mut sender);
    let step = sender.answer(reply("550 no"));
    assert_eq!(fault(step), (Class::Permanent, Some(550)));
    assert!(!sender.leaves_open());
    let mut recipient = Transaction::new(Mode::Serial, 1, false);
    next(&mut recipient);
    recipient.answer(reply("250 ok"));
    next(&mut recipient);
    let step = recipient.answer(reply("450 4.2.2 full"));
    assert_eq!(fault(step), (Class::Transient, Some(450)));
    assert!(recipient.leaves_open());
}

#[test]
fn a_chunk_is_one_group_and_is_reset_when_it_fails() {
    let mut sent = Transaction::new(Mode::Chunked, 1, false);
    let group = [Command::Mail, Command::Recipient(0), Command::Chunk];
    assert_eq!(sent.take_commands(), group);
    let step = answered(&mut sent, &["250 ok", "250 ok", "250 ok"]);
    assert!(matches!(step, Step::Finished(Outcome::Sent { .. })));
    assert!(!sent.leaves_open());
    let mut refused = Transaction::new(Mode::Chunked, 1, false);
    refused.take_commands();
    let step = answered(&mut refused, &["250 ok", "550 5.1.1 who", "503 nobody"]);
    assert_eq!(fault(step), (Class::Permanent, Some(550)));
    assert!(refused.leaves_open());
}

#[test]
fn a_refusal_of_a_message_to_several_suppresses_none_of_them() {
    for (recipients, suppress) in [(1, true), (2, false)] {
        let mut transaction = grouped(recipients);
        answered(&mut transaction, &vec!["250 ok"; recipients + 1]);
        answered(&mut transaction, &["354 go"]);
        transaction.begin_body();
        let step = transaction.answer(reply("550 5.1.1 who"));
        let Step::Finished(Outcome::Failed { fault, .. }) = step else {
            panic!("{step:?}");
        };
        assert_eq!(fault.suppress, suppress, "{recipients}");
    }
}
