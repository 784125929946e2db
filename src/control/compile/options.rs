//! Settings of the process and of listeners in the data plane's form. Tested as part of `compile`.

use crate::control::config::file;
use crate::http::answers::Answer;
use crate::http::head::HeadLimits;
use crate::snapshot::{
    ForwardedOptions, ListenerTimeouts, ProcessOptions, SocketOptions, StreamLimits,
};
use crate::telemetry::options::{AccessLogOptions, LogOutput};

/// Settings that are read once, at start.
pub fn process(file: &file::File) -> ProcessOptions {
    let process = &file.process;
    ProcessOptions {
        shards: process.shards,
        engine: process.engine,
        ring_entries: process.ring_entries,
        grace_period: process.grace_period,
        connections: process.connections,
        connections_per_client: process.connections_per_client,
        content_buffer_bytes: process.content_buffer_bytes,
        buffers_kept: process.buffers_kept,
        access_log: AccessLogOptions {
            output: match file.access_log.output.as_str() {
                "stdout" => LogOutput::Stdout,
                "off" => LogOutput::Off,
                path => LogOutput::File(path.into()),
            },
            format: file.access_log.format,
            template: file.access_log.template.as_deref().map(Box::from),
            sample: file.access_log.sample,
            query: file.access_log.query,
            buffer_bytes: file.access_log.buffer_bytes,
        },
    }
}

pub(super) fn socket(socket: &file::Socket, unix_mode: u32) -> SocketOptions {
    SocketOptions {
        backlog: socket.backlog,
        nodelay: socket.nodelay,
        defer_accept: socket.defer_accept,
        fast_open: socket.fast_open,
        keepalive: socket.keepalive,
        send_buffer_bytes: socket.send_buffer_bytes,
        receive_buffer_bytes: socket.receive_buffer_bytes,
        ipv6_only: socket.ipv6_only,
        unix_mode,
    }
}

pub(super) fn timeouts(timeouts: &file::ListenerTimeouts) -> ListenerTimeouts {
    ListenerTimeouts {
        handshake: timeouts.handshake,
        head: timeouts.head,
        content_idle: timeouts.content_idle,
        stream_idle: timeouts.stream_idle,
        content_minimum_rate: timeouts.content_minimum_rate,
        keep_alive: timeouts.keep_alive,
        connection_age: timeouts.connection_age,
        send_idle: timeouts.send_idle,
        send_minimum_rate: timeouts.send_minimum_rate,
    }
}

pub(super) fn head_limits(limits: &file::ListenerLimits) -> HeadLimits {
    HeadLimits {
        request_line_bytes: limits.request_line_bytes,
        field_line_bytes: limits.field_line_bytes,
        head_bytes: limits.head_bytes,
        field_count: limits.field_count,
    }
}

/// Of a client's connection of HTTP/2.
pub(super) fn streams(limits: &file::ListenerLimits) -> StreamLimits {
    let bytes = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    StreamLimits {
        count: limits.streams,
        content_bytes: bytes(limits.streams_content_bytes),
        table_bytes: bytes(limits.header_table_bytes),
    }
}

pub(super) fn forwarded(forwarded: &file::Forwarded) -> ForwardedOptions {
    ForwardedOptions {
        forwarded_for: forwarded.x_forwarded_for,
        forwarded_for_entries: forwarded.entries,
        real_ip: forwarded.x_real_ip,
        forwarded: forwarded.forwarded,
        via: text(&forwarded.via),
        request_id: text(&forwarded.request_id),
    }
}

pub(super) fn answer(content_type: &str, body: &str) -> Answer {
    Answer { content_type: content_type.into(), body: body.to_owned().into() }
}

/// A text of the file in which "" means off.
pub(super) fn text(text: &str) -> Option<Box<str>> {
    (!text.is_empty()).then(|| text.into())
}
