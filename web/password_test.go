package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPasswordRoundTrip(t *testing.T) {
	t.Parallel()
	hash, err := HashPassword("合言葉は秘密です。ね?")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash: got %s", hash)
	}
	if !VerifyPassword(hash, "合言葉は秘密です。ね?") || VerifyPassword(hash, "合言葉は秘密です。ね!") || VerifyPassword(hash, "") {
		t.Error("verify is wrong")
	}
	if again, _ := HashPassword("合言葉は秘密です。ね?"); again == hash {
		t.Error("two hashes share a salt")
	}
	for _, bad := range []string{"short", strings.Repeat("x", MaxPassword+1)} {
		if _, err := HashPassword(bad); !errors.Is(err, ErrPassword) {
			t.Errorf("%d characters: got %v", len(bad), err)
		}
	}
}

// TestPasswordsCostWhatTheyShould: a desk that is told nothing takes the cost
// of production (OWASP's minimum for argon2id), also for users who do not exist.
func TestPasswordsCostWhatTheyShould(t *testing.T) {
	t.Parallel()
	const production = "$argon2id$v=19$m=19456,t=2,p=1$"
	hash, err := HashPassword("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for what, hash := range map[string]string{"a password": hash, "nobody's": newPasswords(1, Config{}.PasswordCost).nobody} {
		if !strings.HasPrefix(hash, production) {
			t.Errorf("%s: got %s", what, hash)
		}
	}
	cheap := PasswordCost{Memory: 8, Passes: 1, Lanes: 1}
	if hash, err := cheap.Hash("correct horse battery"); err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=8,t=1,p=1$") || !VerifyPassword(hash, "correct horse battery") {
		t.Errorf("a cheap one: got %s, %v", hash, err)
	}
}

func FuzzVerifyPassword(f *testing.F) {
	for _, seed := range []string{"", "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4294967295,t=4294967295,p=255$AA$AA", "$argon2i$v=19$m=8,t=1,p=1$AA$AA", "$$$$$", "$argon2id$v=19$m=8,t=0,p=0$$"} {
		f.Add(seed, "password")
	}
	f.Fuzz(func(t *testing.T, hash, password string) {
		if VerifyPassword(hash, password) && !strings.HasPrefix(hash, "$argon2id$") {
			t.Fatalf("%q matches", hash)
		}
	})
}

func TestPasswordChecksAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, passwordChecksAreBounded) // no check takes a second
}

func passwordChecksAreBounded(t *testing.T) {
	p := newPasswords(2, PasswordCost{})
	var mu sync.Mutex
	running, most := 0, 0
	p.checker = func(string, string) bool {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		time.Sleep(time.Second) // all that may run at once do
		mu.Lock()
		running--
		mu.Unlock()
		return true
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			// Without a user's hash the same work is done, and the answer is no.
			hash := ""
			if i%2 == 0 {
				hash = "x"
			}
			if ok, err := p.check(context.Background(), hash, "y"); err != nil || ok != (hash != "") {
				t.Errorf("got %v %v", ok, err)
			}
		})
	}
	wg.Wait()
	if most != 2 {
		t.Errorf("%d checks at once", most)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.slots <- struct{}{}
	p.slots <- struct{}{}
	if _, err := p.check(ctx, "x", "y"); !errors.Is(err, context.Canceled) {
		t.Errorf("without a slot: got %v", err)
	}
}

// TestBrokenOffLoginsForgiveNothing: an account that was guessed at too often from
// an address stays refused there, however many logins of made-up names are begun and
// broken off, from that address or from others.
func TestBrokenOffLoginsForgiveNothing(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]func(i int) string{
		"from the same address": func(int) string { return "192.0.2.1" },
		"from many addresses":   func(i int) string { return fmt.Sprintf("2001:db8:0:%x::/64", i) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, now := newLimits(), time.Unix(0, 0)
			l.slowness = 0
			for i := range 21 {
				limited, err := l.beginLogin(t.Context(), "192.0.2.1", "taro", now)
				if err != nil || limited != (i == 20) {
					t.Fatalf("try %d: limited %v, %v", i, limited, err)
				}
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			for i := range 10_400 {
				_, _ = l.beginLogin(gone, from(i), fmt.Sprint("made-up", i), now)
			}
			if limited, err := l.beginLogin(t.Context(), "192.0.2.1", "taro", now); !limited || err != nil {
				t.Errorf("limited %v, %v after 10,400 logins that were broken off", limited, err)
			}
			for table, n := range map[string]int{"pairs": l.loginPair.Len(), "addresses": l.loginAddress.Len()} {
				if n > limiterKeys {
					t.Errorf("%d %s are remembered, want at most %d", n, table, limiterKeys)
				}
			}
			// The right password gives back what it took, and no more.
			l.rightPassword("192.0.2.1", "taro", now)
			if limited, _ := l.beginLogin(t.Context(), "192.0.2.1", "taro", now); limited {
				t.Error("the right password does not forgive")
			}
		})
	}
}

func TestCrowdedAddressesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, crowdedAddressesTakeTurns)
}

func crowdedAddressesTakeTurns(t *testing.T) {
	l, now := newLimits(), time.Unix(0, 0)
	for l.loginAddress.Take("192.0.2.1", 1, now) {
	}
	l.slowness = time.Hour
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range slowLanes + 3 {
		wg.Go(func() {
			if err := l.slowLogin(ctx, "192.0.2.1", "a", now); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	synctest.Wait() // all that can wait for their hour do, the others for a lane
	if n := len(l.slowLane); n != slowLanes {
		t.Errorf("%d lanes are taken, want %d", n, slowLanes)
	}
	// The others go on at once.
	if err := l.slowLogin(ctx, "192.0.2.2", "a", now); err != nil {
		t.Errorf("another address: %v", err)
	}
	cancel()
	wg.Wait()
	if len(l.slowLane) != 0 {
		t.Errorf("%d lanes stay taken", len(l.slowLane))
	}
}
