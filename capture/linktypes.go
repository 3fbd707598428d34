package capture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// linkNames are the names of link types in captures that people meet (the list of
// tcpdump.org, without LINKTYPE_).
var linkNames = map[uint32]string{
	linkNull: "NULL", linkEthernet: "ETHERNET", 3: "AX25", 6: "IEEE802_5, token ring", 7: "ARCNET_BSD", 8: "SLIP", 9: "PPP", 10: "FDDI",
	linkRaw12: "RAW", linkRaw14: "RAW", 50: "PPP_HDLC", 51: "PPP_ETHER", 99: "SYMANTEC_FIREWALL", 100: "ATM_RFC1483", linkRaw: "RAW", 104: "C_HDLC",
	105: "IEEE802_11, wireless LAN", 107: "FRELAY", linkLoop: "LOOP", linkSLL: "LINUX_SLL", 114: "LTALK", 117: "PFLOG", 119: "IEEE802_11_PRISM",
	122: "IP_OVER_FC", 123: "SUNATM", 127: "IEEE802_11_RADIOTAP, wireless LAN", 129: "ARCNET_LINUX", 130: "JUNIPER_MLPPP", 133: "JUNIPER_SERVICES",
	138: "APPLE_IP_OVER_IEEE1394", 139: "MTP2_WITH_PHDR", 140: "MTP2", 141: "MTP3", 142: "SCCP", 143: "DOCSIS", 144: "LINUX_IRDA",
	163: "IEEE802_11_AVS", 165: "BACNET_MS_TP", 166: "PPP_PPPD", 177: "LINUX_LAPD", 178: "JUNIPER_ETHER", 179: "JUNIPER_PPP", 182: "JUNIPER_CHDLC",
	187: "BLUETOOTH_HCI_H4", 189: "USB_LINUX", 192: "PPI", 195: "IEEE802_15_4_WITHFCS", 196: "SITA", 197: "ERF", 201: "BLUETOOTH_HCI_H4_WITH_PHDR",
	202: "AX25_KISS", 203: "LAPD", 204: "PPP_WITH_DIR", 205: "C_HDLC_WITH_DIR", 206: "FRELAY_WITH_DIR", 209: "IPMB_LINUX", 215: "IEEE802_15_4_NONASK_PHY",
	220: "USB_LINUX_MMAPPED", 224: "FC_2", 226: "IPNET", 227: "CAN_SOCKETCAN", linkIPv4: "IPV4", linkIPv6: "IPV6", 230: "IEEE802_15_4_NOFCS",
	231: "DBUS", 235: "DVB_CI", 237: "MUX27010", 239: "NFLOG", 240: "NETANALYZER", 242: "IPOIB", 243: "MPEG_2_TS", 245: "NFC_LLCP", 247: "INFINIBAND",
	248: "SCTP", 249: "USBPCAP", 251: "BLUETOOTH_LE_LL", 252: "WIRESHARK_UPPER_PDU", 253: "NETLINK", 254: "BLUETOOTH_LINUX_MONITOR",
	256: "BLUETOOTH_LE_LL_WITH_PHDR", 258: "PKTAP", 259: "EPON", 264: "ISO_14443", 265: "RDS", 266: "USB_DARWIN", 268: "SDLC", 271: "VSOCK",
	272: "NORDIC_BLE", 273: "DOCSIS31_XRA31", 274: "ETHERNET_MPACKET", 275: "DISPLAYPORT_AUX", linkSLL2: "LINUX_SLL2", 278: "OPENVIZSLA",
	283: "IEEE802_15_4_TAP", 288: "USB_2_0", 290: "ETW_NDIS", 295: "SILABS_DEBUG_CHANNEL",
}

// linkName writes a link type with its number and name.
func linkName(link uint32) string {
	name, ok := linkNames[link]
	switch {
	case ok:
	case link >= 147 && link <= 162:
		name = fmt.Sprintf("USER%d, for private use", link-147)
	default:
		name = "no name known"
	}
	return fmt.Sprintf("link type %d (%s)", link, name)
}

// unreadLine names the link types that were not read, most packets first.
func unreadLine(unread map[uint32]uint64) string {
	links := slices.SortedFunc(maps.Keys(unread), func(a, b uint32) int {
		if unread[a] != unread[b] {
			return int(max(-1, min(1, int64(unread[b])-int64(unread[a]))))
		}
		return int(a) - int(b)
	})
	parts := make([]string, len(links))
	for i, link := range links {
		parts[i] = fmt.Sprintf("%d have %s, which teiten does not read", unread[link], linkName(link))
	}
	return strings.Join(parts, ", ")
}

// nothingRead says why no record of a file was understood; "" if one was. A
// capture of address resolution only, or of the packets that switches send, is
// understood: it has nothing to count.
func (ps *parser) nothingRead(c *Counts) string {
	failed := uint64(0)
	var parts []string
	for _, why := range []skip{skipLinkType, skipTunnel, skipNonIP, skipLink, skipIPHeader, skipExtension, skipEmpty, skipTime, skipPanic} {
		n := ps.skipped[why]
		if failed += n; n == 0 {
			continue
		}
		switch why {
		case skipLinkType:
			parts = append(parts, unreadLine(ps.unread))
		case skipTunnel:
			for kind, n := range ps.tunnels {
				if n > 0 {
					parts = append(parts, fmt.Sprintf("%d are inside %s, which teiten does not open", n, tunnelNames[kind]))
				}
			}
		default:
			parts = append(parts, fmt.Sprintf("%d are %s", n, skipWords[why]))
		}
	}
	if c.Packets == 0 || failed < c.Packets || ps.familiar > 0 {
		return ""
	}
	if ps.skipped[skipLinkType] == 0 {
		parts = append(parts, "the file says "+linkName(ps.link))
	}
	return fmt.Sprintf("none of %d packets can be read: %s", c.Packets, strings.Join(parts, "; "))
}

// skipWords describe packets that were skipped.
var skipWords = [numSkips]string{
	skipNonIP: "not IP", skipLink: "cut in the link header", skipIPHeader: "without a valid IP header", skipExtension: "cut in the IPv6 extension headers",
	skipEmpty: "empty", skipTime: "without a time", skipPanic: "damaged",
}
