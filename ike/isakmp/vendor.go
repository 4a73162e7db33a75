package isakmp

import (
	"bytes"
	"encoding/hex"
)

// A Vendor is a recognised vendor id.
type Vendor uint8

// The vendors. UnknownVendor is every other payload.
const (
	UnknownVendor         Vendor = iota // unknown
	VendorOpenBSD                       // OpenBSD
	VendorNATT02                        // draft-ietf-ipsec-nat-t-ike-02
	VendorNATT02Newline                 // draft-ietf-ipsec-nat-t-ike-02\n
	VendorNATT03                        // draft-ietf-ipsec-nat-t-ike-03
	VendorNATT                          // RFC 3947
	VendorDPD                           // DPD (RFC 3706)
	VendorNetScreen                     // NetScreen
	VendorHeartbeatNotify               // HeartBeat_Notify
	VendorXAUTH                         // XAUTH
	VendorStrongSwan                    // strongSwan
	VendorFragmentation                 // FRAGMENTATION
	VendorCiscoUnity                    // Cisco Unity
)

// A vendorID is one row of the table. The first row of a vendor is what VendorID sends.
type vendorID struct {
	vendor Vendor
	hex    string
	prefix bool // more may follow: a product and a version, a capability mask
}

// vendorIDTable has the MD5 sums of the names, or what the vendor made up.
var vendorIDTable = []vendorID{
	{VendorOpenBSD, "9826c552791aa1800ca6ff33aaf1e83b", false}, // OpenBSD-6.3, since 2018
	{VendorOpenBSD, "6c0dcd481deae8ae0b0a68384b3072f9", false}, // OpenBSD-4.0
	{VendorNATT02, "cd60464335df21f87cfdb2fc68b6a448", false},
	{VendorNATT02Newline, "90cb80913ebb696e086381b5ec427b1f", false},
	{VendorNATT03, "7d9419a65310ca6f2c179d9215529d56", false},
	{VendorNATT, "4a131c81070358455c5728f20e95452f", false},
	{VendorDPD, "afcad71368a1f1c96b8696fc77570100", false},
	{VendorNetScreen, "166f932d55eb64d8e4df4fd37e2313f0d0fd8451", true},
	{VendorNetScreen, "4a4340b543e02b84c88a8b96a8af9ebe77d9accc", true}, // NS-5GT
	{VendorNetScreen, "299ee8289f40a8973bc78687e2e7226b532c3b76", true}, // NS-5XP
	{VendorNetScreen, "9436e8d67174ef9aed068d5ad5213f187a3f8ba6", true}, // NS-5XP, 4.0
	{VendorNetScreen, "2c9d7e81995b9967d23f571ac641f9348122f1cc", true}, // SSG-550M, 6.2
	{VendorHeartbeatNotify, "4865617274426561745f4e6f74696679", true},   // the text, then 386b0100
	{VendorXAUTH, "09002689dfd6b712", false},
	{VendorStrongSwan, "882fe56d6fd20dbc2251613b2ebe5beb", false},
	{VendorFragmentation, "4048b7d56ebce88525e7de7f00d6c2d3", true}, // then a mask
	{VendorCiscoUnity, "12f5f28c457168a9702d9fe274cc", true},
}

// ParseVendorID recognises the body of a vendor id payload.
func ParseVendorID(body []byte) Vendor {
	for _, v := range vendorIDTable {
		id := v.bytes()
		if bytes.Equal(body, id) || v.prefix && bytes.HasPrefix(body, id) {
			return v.vendor
		}
	}
	return UnknownVendor
}

// VendorID is the vendor id payload that announces v; its body is empty for UnknownVendor.
func (v Vendor) VendorID() Payload {
	for _, row := range vendorIDTable {
		if row.vendor == v {
			return Payload{Type: PayloadVendorID, Body: row.bytes()}
		}
	}
	return Payload{Type: PayloadVendorID}
}

func (v vendorID) bytes() []byte {
	b, err := hex.DecodeString(v.hex)
	if err != nil {
		panic("isakmp: vendorIDTable: " + v.hex)
	}
	return b
}
