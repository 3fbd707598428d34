package owner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxEntityQuestions bounds the entities that are asked for after one answer.
const maxEntityQuestions = 3

// withCards returns the answer with the cards of entities that are only named in
// it. They are asked for at the registry that answered, the desks for abuse first,
// and only if the answer has no address of such a desk. The raw answer then holds
// them as if the registry had sent them there.
func (c *RDAPClient) withCards(ctx context.Context, a RegistryAnswer, answered *http.Response) (RegistryAnswer, error) {
	if answered == nil || answered.Request == nil {
		return a, nil
	}
	found := false
	for _, e := range c.cardless(&a, answered.Request.URL) {
		entity, err := c.askEntity(ctx, e, answered)
		if err != nil {
			var failed *LookupError
			// A later try may bring the only address; else the answer is good without.
			if errors.As(err, &failed) && failed.Retryable() && !a.hasAddress() || ctx.Err() != nil {
				return a, err
			}
			continue
		}
		if raw, ok := withEntity(a.Raw, e.handle, entity); ok {
			a.Raw, found = raw, true
		}
	}
	if !found {
		return a, nil
	}
	full, err := ParseAnswer(a.Raw)
	if err != nil {
		return RegistryAnswer{}, &LookupError{Kind: LookupTooLarge, Server: answered.Request.URL.Host, Asked: true, Err: err}
	}
	return full, nil
}

// hasAddress reports whether an entity or a remark has an address.
func (a *RegistryAnswer) hasAddress() bool {
	return slices.ContainsFunc(a.Entities, func(e AnswerEntity) bool { return len(e.Emails) > 0 }) ||
		slices.ContainsFunc(a.Remarks, func(r AnswerRemark) bool { return len(remarkAddresses(r)) > 0 })
}

// namedEntity is an entity of which the answer has no card.
type namedEntity struct {
	handle string
	url    *url.URL
}

// cardless lists the entities to ask for, and where.
func (c *RDAPClient) cardless(a *RegistryAnswer, answered *url.URL) []namedEntity {
	if slices.ContainsFunc(a.Entities, func(e AnswerEntity) bool { return slices.Contains(e.Roles, "abuse") && len(e.Emails) > 0 }) {
		return nil
	}
	any := slices.ContainsFunc(a.Entities, func(e AnswerEntity) bool { return len(e.Emails) > 0 })
	var abuse, others []namedEntity
	for _, e := range a.Entities {
		if e.hasCard || e.Handle == "" || e.Ended != "" {
			continue
		}
		n := namedEntity{e.Handle, entityURL(e, answered)}
		if n.url == nil || slices.ContainsFunc(append(abuse, others...), func(k namedEntity) bool { return k.handle == n.handle }) {
			continue
		}
		if slices.Contains(e.Roles, "abuse") {
			abuse = append(abuse, n)
		} else if !any {
			others = append(others, n)
		}
	}
	all := append(abuse, others...)
	return all[:min(len(all), maxEntityQuestions)]
}

// entityURL is where an entity is asked for (RFC 9082, 3.1.5): its own link if that
// leads to the server that answered, else beside the answer.
func entityURL(e AnswerEntity, answered *url.URL) *url.URL {
	if u, err := answered.Parse(e.SelfURL); err == nil && e.SelfURL != "" {
		if u.Scheme == answered.Scheme && strings.EqualFold(u.Host, answered.Host) && u.User == nil {
			return u
		}
		return nil
	}
	base, _, ok := strings.Cut(answered.Path, "/ip/")
	if !ok {
		return nil
	}
	u := *answered
	u.Path, u.RawPath, u.RawQuery, u.Fragment = base+"/entity/"+e.Handle, base+"/entity/"+url.PathEscape(e.Handle), "", ""
	return &u
}

// askEntity asks for an entity. Redirects must stay at the server.
func (c *RDAPClient) askEntity(ctx context.Context, e namedEntity, answered *http.Response) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for entity: %w", err)
	}
	req.Header.Set("Accept", "application/rdap+json, application/json")
	req.Header.Set("User-Agent", c.userAgent)
	req.Response = answered // the question is under way already, as after a redirect
	own := *c.http
	own.CheckRedirect = func(next *http.Request, via []*http.Request) error {
		if !strings.EqualFold(next.URL.Host, e.url.Host) {
			return &LookupError{Kind: LookupRefused, Server: next.URL.Host, Asked: true, Err: errors.New("a redirect of an entity to another server")}
		}
		return guardRedirect(next, via)
	}
	failed := &LookupError{Kind: LookupTemporary, Server: e.url.Host, Asked: true}
	resp, err := own.Do(req)
	if err != nil {
		var typed *LookupError
		if errors.As(err, &typed) {
			return nil, typed
		}
		failed.Err = err
		return nil, failed
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	failed.Status = resp.StatusCode
	if pause, asked := retryAfter(resp, c.now()); asked {
		failed.Kind, failed.RetryAfter = LookupThrottled, pause
		return nil, failed
	}
	var entity map[string]any
	switch {
	case err != nil:
		failed.Err = err
	case resp.StatusCode >= 500:
	case resp.StatusCode != http.StatusOK:
		failed.Kind = LookupNotFound
	case decodeNumbers(body, &entity) != nil || text(entity["objectClassName"]) != "entity" || !strings.EqualFold(text(entity["handle"]), e.handle):
		failed.Kind, failed.Err = LookupNotFound, errors.New("not an answer about the entity")
	default:
		return entity, nil
	}
	return nil, failed
}

// withEntity writes what a registry says of an entity into its answer, in each
// place where the entity is only named; ok is false if no such place exists.
func withEntity(raw []byte, handle string, entity map[string]any) (full []byte, ok bool) {
	var top map[string]any
	if decodeNumbers(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), &top) != nil {
		return nil, false
	}
	fillEntities(top["entities"], handle, entity, 0, &ok)
	if !ok {
		return nil, false
	}
	full, err := json.Marshal(top)
	return full, err == nil && len(full) <= MaxAnswerBytes
}

func fillEntities(v any, handle string, entity map[string]any, depth int, filled *bool) {
	if depth > maxEntityDepth {
		return
	}
	for _, item := range list(v) {
		m, isMap := item.(map[string]any)
		if !isMap {
			continue
		}
		fillEntities(m["entities"], handle, entity, depth+1, filled)
		if !strings.EqualFold(text(m["handle"]), handle) {
			continue
		}
		for name, value := range entity {
			if _, has := m[name]; !has && name != "roles" && name != "networks" && name != "autnums" {
				m[name] = value
			}
		}
		*filled = true
	}
}

// decodeNumbers reads JSON and keeps numbers as they are written.
func decodeNumbers(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}
