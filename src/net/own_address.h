/*
 * own_address - is this address one of this machine's?
 *
 * The kernel is asked by which address it would leave for that one: for its own it is the same.
 * Nothing is sent. (That an address can be bound to says nothing where ip_nonlocal_bind is on, and
 * a list of the interfaces would need a netlink socket, which the sandbox forbids.) What cannot be
 * asked is not ours.
 */
#ifndef MXGATE_NET_OWN_ADDRESS_H
#define MXGATE_NET_OWN_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Loopback addresses are. The address has a port. */
bool own_address(const struct sockaddr_storage *address);
/* Whether there is a way to it. */
bool own_way_to(const struct sockaddr_storage *address);

#endif
