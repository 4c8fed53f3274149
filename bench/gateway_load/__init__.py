"""What `bench.gateway` runs in processes of their own: a server that answers in no time, and somebody who asks."""
