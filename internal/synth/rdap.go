package synth

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
)

//go:embed rdap/*.json
var rdapAnswers embed.FS

// RDAPAnswers are made-up answers of registries for the networks of the sample,
// in the style of APNIC, ARIN and RIPE.
func RDAPAnswers() fs.FS {
	sub, err := fs.Sub(rdapAnswers, "rdap")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return sub
}

// recorded is one answer with the range it is for.
type recorded struct {
	first, last netip.Addr
	body        []byte
}

// RDAPHandler serves the recorded answers of the folder (files *.json) as an
// RDAP server would: GET /ip/ADDRESS gives the answer with the smallest range
// around the address, and an RDAP error with status 404 if there is none
// (RFC 9082, 3.1.1; RFC 9083, 6).
func RDAPHandler(answers fs.FS) (http.Handler, error) {
	names, err := fs.Glob(answers, "*.json")
	if err != nil {
		return nil, fmt.Errorf("recorded RDAP answers: %w", err)
	}
	var all []recorded
	for _, name := range names {
		body, err := fs.ReadFile(answers, name)
		if err != nil {
			return nil, fmt.Errorf("recorded RDAP answer: %w", err)
		}
		var network struct{ StartAddress, EndAddress string }
		if err := json.Unmarshal(body, &network); err != nil {
			return nil, fmt.Errorf("recorded RDAP answer %s: %w", path.Base(name), err)
		}
		r := recorded{body: body}
		if r.first, err = netip.ParseAddr(network.StartAddress); err == nil {
			r.last, err = netip.ParseAddr(network.EndAddress)
		}
		if err != nil {
			return nil, fmt.Errorf("recorded RDAP answer %s: %w", path.Base(name), err)
		}
		all = append(all, r)
	}
	// Ranges of a registry nest: the one that begins last is the smallest.
	slices.SortStableFunc(all, func(a, b recorded) int {
		if c := b.first.Compare(a.first); c != 0 {
			return c
		}
		return a.last.Compare(b.last)
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ip/{query...}", func(w http.ResponseWriter, r *http.Request) {
		query, _, _ := strings.Cut(r.PathValue("query"), "/")
		addr, err := netip.ParseAddr(query)
		if err != nil {
			writeRDAPError(w, http.StatusBadRequest, "Bad Request", "The query is not an address.")
			return
		}
		addr = addr.Unmap()
		for _, a := range all {
			if a.first.BitLen() == addr.BitLen() && a.first.Compare(addr) <= 0 && addr.Compare(a.last) <= 0 {
				w.Header().Set("Content-Type", "application/rdap+json")
				_, _ = w.Write(a.body) // a client that left is not our error
				return
			}
		}
		writeRDAPError(w, http.StatusNotFound, "Not Found", "No recorded answer is for "+addr.String()+".")
	})
	return mux, nil
}

func writeRDAPError(w http.ResponseWriter, code int, title, description string) {
	w.Header().Set("Content-Type", "application/rdap+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that left is not our error
		"rdapConformance": []string{"rdap_level_0"}, "errorCode": code, "title": title, "description": []string{description},
	})
}
