#!/bin/bash
# The configuration that the variables of docker-compose.yml would make, then supervisord in the foreground.
set -e
cp /rival/main.cf /etc/postfix/main.cf
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
postconf -e "relay_transport = $RELAY_TRANSPORT" "relay_domains = $ALLOWED_DOMAINS" "myhostname = $HOSTNAME"
postconf -F '*/*/chroot = n'
newaliases 2>/dev/null || true
exec supervisord -c /rival/supervisord.conf
