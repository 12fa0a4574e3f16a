"""Events that a service records in the transaction of a change and delivers afterwards."""
