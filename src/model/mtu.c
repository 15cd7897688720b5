/* SPDX-License-Identifier: Apache-2.0 */
#include "mtu.h"

const struct encapsulation encapsulations[] = {
	{ "none", 0, 0, "a bridge or a routed link: no header is added" },
	{ "vlan", 0, 0, "802.1Q: the four bytes are outside of the MTU" },
	{ "ipip", 20, 40, "one more IP header" },
	{ "gre", 24, 44, "IP 20 or 40, GRE 4" },
	{ "vxlan", 50, 70, "IP 20 or 40, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348)" },
	{ "geneve", 58, 78, "IP 20 or 40, UDP 8, Geneve 8 and one option of 8, inner Ethernet 14 (RFC 8926)" },
	{ "wireguard", 60, 80, "IP 20 or 40, UDP 8, WireGuard 32" },
	{ "ovn-kubernetes", 100, 100, "what OVN-Kubernetes keeps free for Geneve and its options" },
	{ 0 },
};

const struct encapsulation *encapsulation_find(const char *name)
{
	for (const struct encapsulation *e = encapsulations; e->name; e++)
		if (streq(e->name, name))
			return e;
	return NULL;
}
