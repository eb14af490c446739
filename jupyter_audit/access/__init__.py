"""From a request to a grant: principals, policy, and the state machine over entries."""
