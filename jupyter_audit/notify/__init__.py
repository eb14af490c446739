"""
Who is told of what: alerts by mail, chat or webhook, derived from the ledger, so that nothing is lost with a server (P4).

`routes` is what the admin set, `events` what there is to tell, `outbox` what is owed to whom (pure), `runner` the thread
that sees to it, `post` and `courier` how it is sent, in a process apart.
"""
