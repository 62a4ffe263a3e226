-- feed_lock.sql: takes the lock under which all changes of the control plane happen, one after the other.
update change_counter set head = head where id = 1
