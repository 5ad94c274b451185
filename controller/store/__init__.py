"""The store: OVSDB behind typed values. All of it raises model.errors only.

    server.Server(directory, remotes, socket).start() / .stop() / .remote / .pid
        embedded ovsdb-server with both databases
    wire.Connection(remote)
        raw JSON-RPC, blocking, thread-safe
    writer.Store(remote)
        .ensure_cluster(asn, reflectors, site) -> Cluster       makes the Cluster row and the pools once
        .contents() -> Contents                                 from the cache, current to the last write
        .read_all() -> Contents                                 one select
        .change(build, key, digest, summarise) -> (Plan | None, Outcome)
            build(contents) -> Plan; written in one durable transaction; on a race: built again
        .apply(contents, plan, key, digest, result) -> Outcome  the same without cache and repetition
        .bind(port_uid, host) -> Binding / .unbind(port_uid, host)
        .say(host, saying, known) / .put_report(host, report, stamp) / .reports() -> tuple[HostReport, ...]
    watch.Watch(remote, host, on_event).start() / .stop()
        agents' reader; on_event(Batch)

The allocator: ipam.plan.plan(contents, wanted, now, new_uid) -> Plan and
ipam.deletion.plan_deletion(contents, references, now) -> Plan, both pure.
"""
