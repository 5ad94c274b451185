"""The store: OVSDB behind typed values.

Who calls what (all raise model.errors only):

    server.Server(directory, remotes=(...)).start() / .stop()          embedded ovsdb-server with both databases
    wire.Connection(remote)                                            raw JSON-RPC, blocking, thread-safe
    writer.Store(remote)                                               writes and one-shot reads:
        .ensure_cluster(asn, reflectors, site) -> Cluster              creates the Cluster row and the pools once
        .read_all() -> Contents
        .apply(plan, key, digest, result) -> Outcome                   one durable transaction; Stale if it raced
        .change(build, key, digest, summarise) -> tuple[Plan | None, Outcome]
                            build(contents) -> Plan from the monitored cache; on a race: resync, build again
        .contents() -> Contents                                        from the cache, current to the last write
        .bind(port_uid, host) -> Binding / .unbind(port_uid, host)     for agents
        .put_report(host, report, stamp) / .reports() -> tuple[HostReport, ...]
    watch.Watch(remote, host, on_event).start() / .stop()              agents' reader; on_event(Batch)

The allocator: ipam.plan.plan(contents, wanted, now, new_uid) -> Plan and ipam.deletion.plan_deletion(contents,
references, now) -> Plan. Both pure; both raise Invalid, Conflict, Exhausted or NotFound with every fault at once.
"""
