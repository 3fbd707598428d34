// Package finding reads what owners say they found, by plain rules in Japanese
// and English. It only proposes: a coordinator reads the mail and decides.
package finding

import (
	"regexp"
	"slices"
	"strings"

	"teiten/internal/casedb"
)

// Suggestion is a finding as the words of a mail suggest it.
type Suggestion struct {
	casedb.Finding
	Words []string // what led to it, as it stands in the mail, in order of the fields
}

// Empty reports whether nothing was suggested.
func (s Suggestion) Empty() bool { return len(s.Words) == 0 }

// Suggest proposes a finding for a mail's text, by what its author says alone:
// quoted lines, the mails below, and what stands in our own letters, quoted or
// not, name malware and advice themselves.
func Suggest(text string, ours ...string) Suggestion {
	text = own(text, ours)
	s := Suggestion{Finding: casedb.Finding{Result: "unknown"}}
	note := func(words string) {
		if words = strings.Join(strings.Fields(words), " "); words != "" && !slices.Contains(s.Words, words) {
			s.Words = append(s.Words, words)
		}
	}
	result, named, clean := first(results, text), first(malware, text), foundNothing(text)
	if result == nil && clean != "" && (named == nil || actions[0].find(text) == nil) {
		// What was looked for has a name, too; what was removed was there.
		s.Result = "nothing"
		note(clean)
	} else {
		if named != nil {
			s.Malware = named.value
			note(named.words)
		}
		if result != nil {
			s.Result = result.value
			note(result.words)
		} else if s.Malware != "" {
			s.Result = "infected"
		}
	}
	if p := product(text); p != nil {
		s.Device, s.Product, s.Version, s.Support = p.device, p.product, p.version, p.support
		note(p.words)
	} else if m := first(devices, text); m != nil {
		s.Device = m.value
		note(m.words)
	}
	if m := ended.FindString(text); m != "" {
		s.Support = "ended"
		note(m)
	}
	if m := first(entries, text); m != nil {
		s.Entry = m.value
		note(m.words)
	}
	for _, r := range actions {
		if m := r.find(text); m != nil {
			s.Actions = append(s.Actions, r.value)
			note(m.words)
		}
	}
	slices.Sort(s.Actions)
	return s
}

// rule is one value of a field and the words for it.
type rule struct {
	value string
	words *regexp.Regexp
}

type match struct{ value, words string }

func (r rule) find(text string) *match {
	for _, at := range r.words.FindAllStringIndex(text, 8) {
		if !denied(text, at) && (r.value != "infected" || !innerNo.MatchString(text[at[0]:at[1]])) {
			return &match{r.value, text[at[0]:at[1]]}
		}
	}
	return nil
}

func first(rules []rule, text string) *match {
	for _, r := range rules {
		if m := r.find(text); m != nil {
			return m
		}
	}
	return nil
}

// Words that turn what stands near them into its contrary, or into a plan, a
// wish, a question or what others say.
var (
	deniedBefore = regexp.MustCompile(`(?i)\b(no|not|never|nobody|none|without|neither|nor|isn't|wasn't|aren't|weren't|don't|doesn't|didn't|hasn't|haven't|cannot|can't|couldn't|won't|unable to|ruled? out|if|should|must|please|whether|instead of|before|` +
		`will|shall|would|could|might|may (be|have)|unlikely|going to|plan(s|ned|ning)? (to|on)|in order to|need(s|ed)? to|recommend\w*|advis\w+|ask(ed|ing)? (the|our|your|them|him|her)|` +
		`(look|scan|check|search|test)(ed|ing|s)? for|scan for|you (say|said|claim|claimed|suspect|wrote|report|reported)|(mail|report|notice|letter|message) (says|said|claims|states|reports))\b[^.!?\n]{0,30}$`)
	deniedAfter = regexp.MustCompile(`(?i)^[^。.!?\n]{0,14}?(は|が|も|を|に|の)?(確認|検出|検知|発見|認め|見つか|見当た|見受け|実施|該当|行)?(されて|られて|られ|できて|でき|して|って|け)?(いません|おりません|ありません|ません|していない|ない|なかった|ございません|無し|なし|無い|予定|検討|すべき|でしょうか|か[?？])|` +
		`^[^。\n]{0,16}?(ではな[いくか]|かどうか|かを?(確認|調査|調べ|不明|判断)|(の|な)?有無|の(疑い|可能性|恐れ|おそれ)|とのこと(です|でした)が|との(ご)?(指摘|連絡)|未実施|未対応|未了|不要|よう(に)?、?[^。\n]{0,12}(依頼|お願い|要請|指示|伝え|案内))|` +
		`^[:\s]{0,3}(無|なし|0 ?件|該当なし|not\b|none\b|negative\b)|^[^.!?\n]{0,20}\b(was|were|is|are|has|have|came back)(n't| not| negative| ruled out| clean| unlikely)\b|^[^.!?\n]{0,40}\?`)
	newClause = regexp.MustCompile(`(?i)[;、]|\b(but|however|although|therefore)\b|, (we|i|it|the|our|and|so)\b`)
	innerNo   = regexp.MustCompile(`(?i)\b(no|not|never|nothing|none|without|zero)\b`)
)

// denied reports whether the words at a place are denied.
func denied(text string, at []int) bool {
	before := text[max(0, at[0]-60):at[0]]
	if i := strings.LastIndexAny(before, "\n.。!?！？"); i >= 0 {
		before = before[i+1:]
	}
	if all := newClause.FindAllStringIndex(before, -1); len(all) > 0 {
		before = before[all[len(all)-1][1]:]
	}
	return deniedBefore.MatchString(before) || deniedAfter.MatchString(text[at[1]:min(len(text), at[1]+90)])
}

func compile(list ...[2]string) []rule {
	rules := make([]rule, len(list))
	for i, l := range list {
		rules[i] = rule{l[0], regexp.MustCompile(`(?i)` + l[1])}
	}
	return rules
}

// nothing says that a search found nothing.
var (
	nothing = regexp.MustCompile(`(?i)(感染|マルウェア|ウイルス|ウィルス|異常|不審な(通信|プロセス|挙動|ファイル|点)|問題)[^。\n]{0,12}(確認|検出|検知|発見|認め|見つか|見当た|見受け)[^。\n]{0,8}(ません|なかった|ない)|` +
		`(感染|マルウェア|ウイルス|ウィルス|異常|不審な点|問題)(の(疑い|事実|形跡|痕跡|兆候))?は?(ありません|ございません|なし)|` +
		`\b(no|not any|without)\b[^.\n]{0,25}\b(infections?|malware|virus(es)?|anomal(y|ies)|compromise|sign of|suspicious)\b[^.\n]{0,40}|` +
		`\b(scan|scans|machine|host|server|system)\b[^.\n]{0,20}\b(is|was|came back|came up|found) clean\b|\bdid not find (any|anything)\b[^.\n]{0,30}|\bfound nothing\b`)
	notNothing = regexp.MustCompile(`(?i)anti[- ]?virus|(virus|malware)[- ](scan|protect|soft)|(ウイルス|ウィルス|マルウェア)(対策|ソフト|スキャ|定義)`)
	condition  = regexp.MustCompile(`^(場合|とき|時|か|ようで|のであれば)`)
)

// foundNothing returns the words that say so.
func foundNothing(text string) string {
	for _, at := range nothing.FindAllStringIndex(text, 8) {
		if words := text[at[0]:at[1]]; !notNothing.MatchString(words) && !condition.MatchString(text[at[1]:]) {
			return words
		}
	}
	return ""
}

var malware = compile(
	[2]string{"WannaCry", `wanna ?cry(pt)?\w*|ワナクライ`},
	[2]string{"Mirai", `\bmirai\b|ミライボット`},
	[2]string{"Conficker", `conficker|downadup|\bkido\b`},
	[2]string{"EternalRocks", `eternal ?rocks`},
	[2]string{"SQL Slammer", `slammer|sapphire worm`},
	[2]string{"Mozi", `\bmozi\b`},
	[2]string{"Hajime", `\bhajime\b`},
	[2]string{"Gafgyt", `gafgyt|bashlite|\bqbot\b`},
	[2]string{"Emotet", `emotet`},
	[2]string{"XorDDoS", `xor\.?ddos`},
	[2]string{"DoublePulsar", `double ?pulsar`},
	[2]string{"miner", `(crypto)?\bminer\b|coin ?miner|xmrig|マイニング(マルウェア|ツール)|コインマイナー`},
	[2]string{"ransomware", `ransomware|ランサムウェア|ランサムウエア`},
)

var results = compile(
	[2]string{"infected", `(was|were|is|been|got|had been) (infected|compromised|hacked)|(found|detected|removed)[^.\n]{0,30}\b(malware|virus|worm|trojan|bot)\b|(マルウェア|ウイルス|ウィルス|ワーム|ボット)[^。\n]{0,12}(検出|検知|発見|感染|駆除|見つか)|感染して(い|お)|感染を確認|感染が(確認|判明)|侵害され`},
	[2]string{"misused", `open (proxy|relay|resolver)|踏み台|不正(に)?利用され|オープンリゾルバ|abused by`},
	[2]string{"misconfigured", `mis-?configur|wrong(ly)? configur|設定(の)?(誤り|ミス|不備)|誤設定|typo in`},
)

var devices = compile(
	[2]string{"nas", `\bnas\b|network[- ]attached storage|ネットワークhdd`},
	[2]string{"router", `\brouters?\b|\bcpe\b|ルーター?|ブロードバンドルータ|\bgateway device\b`},
	[2]string{"camera", `\b(ip|web|network|security) ?cam(era)?s?\b|\bdvr\b|\bnvr\b|(監視|防犯|ネットワーク|ウェブ)カメラ|レコーダー?`},
	[2]string{"iot", `\biot\b|組み?込み(機器|端末)|set-?top box|デジタルサイネージ|複合機`},
	[2]string{"windows-server", `windows[^.。\n]{0,10}server|ウィンドウズサーバ`},
	[2]string{"windows", `\bwindows\b|ウィンドウズ`},
	[2]string{"linux", `\blinux\b|\bubuntu\b|\bdebian\b|\bcentos\b|\bred ?hat\b`},
)

var entries = compile(
	[2]string{"mobile-line", `(sim|lte|4g|5g|モバイル|携帯)[^。.\n]{0,20}(global ip|public ip|グローバル|固定ip|dongle|ドングル|回線|ルータ)|データ通信(端末|カード)|usb ?(lte )?(dongle|ドングル|モデム)`},
	[2]string{"vpn", `\bvpn\b[^。.\n]{0,30}(脆弱|vulnerab|経由|exploit|via|侵入)|(via|through|over)[^.\n]{0,20}\bvpn\b`},
	[2]string{"weak-password", `(weak|default|guess(ed|able)?|easy|leaked)[^.\n]{0,15}(password|credential)|(初期|デフォルト|脆弱な|簡単な|推測(され|しやす)[^。\n]{0,6}|工場出荷時の)パスワード|パスワードが(初期|脆弱|簡単|推測)|brute[- ]?force`},
	[2]string{"exposed-port", `(port|smb|rdp|telnet|445|23|3389)[^。.\n]{0,40}(exposed|open to|reachable from|accessible from|公開|開放|開いて|インターネットから|外部から)|(インターネット|外部)(に|から)(直接)?(公開|接続|アクセス可能|到達)|(directly )?(exposed|open|connected|reachable)[^.\n]{0,20}(to|from) the internet`},
	[2]string{"unpatched", `ms17-?010|eternal ?blue|(missing|not installed|without|lacking)[^.\n]{0,20}(patch|update)|unpatched|(パッチ|更新プログラム|修正プログラム|アップデート)[^。\n]{0,10}(未適用|適用され(て(い|お))?[^。\n]{0,3}(ませ|な)|当たって(い|お)?[^。\n]{0,3}(ませ|な)|漏れ)|脆弱性(を|が)(悪用|突)`},
	[2]string{"usb", `usb ?(stick|memory|drive|メモリ)|infected usb|usb経由|usbメモリー?`},
	[2]string{"mail", `phishing|(e-?mail|mail) attachment|malicious (e-?mail|mail)|メール(の)?添付|標的型メール|不審(な)?メール|フィッシング`},
)

var actions = compile(
	[2]string{"cleaned", `(removed|cleaned|disinfected|deleted|quarantined|eradicated)\b[^.\n]{0,40}|駆除(し|を|済|完了|いた)|(ウイルス|ウィルス|マルウェア)[^。\n]{0,10}(除去|削除)`},
	[2]string{"reinstalled", `re-?install(ed|ing|ation)?|re-?imag(ed|ing)|rebuilt|wiped|factory[- ]reset|formatted|初期化|再インストール|再構築|リカバリ|クリーンインストール|OS(を)?入れ(替|直)`},
	[2]string{"patched", `(patched|installed[^.\n]{0,30}(patch|update)|applied[^.\n]{0,30}(patch|update|ms17)|(security )?updates?[^.\n]{0,15}(installed|applied)|upgraded|updated (the )?(firmware|system|os|windows))|(パッチ|更新プログラム|修正プログラム|アップデート|ファームウェア|ms17-?010)[^。\n]{0,16}(適用(し|済|いた|を行|を実施|完了)|当てま|更新(し|済|いた)|実施(し|済|いた))|windows ?update(を)?(実施|適用|行)|最新(版|の状態)に(更新|アップ)`},
	[2]string{"port-closed", `(closed|blocked|filtered|firewalled|disabled|restricted)\b[^.\n]{0,40}(port|smb|445|rdp|telnet|23\b|traffic|access|inbound|outbound|acl)|(port|smb|445|telnet|inbound|outbound)[^.\n]{0,30}(is|are|was|were|has been|have been|now) (now )?(closed|blocked|filtered|disabled)|(ポート|445|smb|telnet|通信|アクセス)[^。\n]{0,20}(閉じ|遮断|閉塞|ブロック|制限|フィルタ|停止|無効)|ファイア?ウォール[^。\n]{0,20}(設定|導入|有効)`},
	[2]string{"disconnected", `(disconnected|unplugged|taken (off|offline)|took[^.\n]{0,25}off(line| the net)|isolated|shut ?(it )?down|switched off|powered off|removed[^.\n]{0,20}from the network|suspended the (customer|line))|(ネットワーク|lan|回線|インターネット)[^。\n]{0,12}(切断|切り離|から外|隔離|抜)|切り離し(ま|て|済|た)|抜線|隔離(し|を|済|いた)|(電源を(切|落)|シャットダウン|停止(し|いた)しま)`},
	[2]string{"replaced", `(replaced|retired|decommissioned|scrapped|swapped)\b|(機器|端末|サーバ|ルータ|pc|パソコン)[^。\n]{0,12}(交換|入れ替え|更改|買い替え|撤去|廃棄|リプレース)`},
	[2]string{"password", `(changed|reset|rotated|new|set)[^.\n]{0,25}(password|credential)|passwords?[^.\n]{0,20}(changed|reset|rotated)|パスワード[^。\n]{0,12}(変更|再設定|設定し直|強化)`},
)

var ended = regexp.MustCompile(`(?i)end[- ]of[- ](support|life|service)|\beo[sl]\b|out of support|no longer supported|unsupported (os|version|windows)|サポート(が|の|は)?(終了|切れ)`)

type found struct{ device, product, version, support, words string }

// windows finds a Windows with its version.
var windows = regexp.MustCompile(`(?i)\bwindows ?(server)? ?(xp|vista|7|8\.1|8|10|11|2000|2003 ?r2|2003|2008 ?r2|2008|2012 ?r2|2012|2016|2019|2022|2025)\b`)

// endOfSupport are the versions of Windows whose support has ended, extended
// support included (https://learn.microsoft.com/lifecycle/products/, as of
// 2026; Windows 10 ended on 2025-10-14, Server 2012 and 2012 R2 on 2023-10-10).
var endOfSupport = []string{"XP", "Vista", "7", "8", "8.1", "10", "2000", "2003", "2003 R2", "2008", "2008 R2", "2012", "2012 R2"}

// other products that name themselves.
var products = compile(
	[2]string{"nas\x00QNAP", `\bqnap\b`}, [2]string{"nas\x00Synology", `synology`}, [2]string{"nas\x00Buffalo LinkStation/TeraStation", `linkstation|terastation`},
	[2]string{"router\x00MikroTik", `mikrotik|routeros`}, [2]string{"router\x00ASUS", `\basus\b`}, [2]string{"router\x00TP-Link", `tp-?link`}, [2]string{"router\x00Zyxel", `zyxel`},
	[2]string{"router\x00Yamaha", `yamaha|ヤマハ`}, [2]string{"router\x00Fortinet", `forti(gate|net|os)`},
	[2]string{"camera\x00Hikvision", `hikvision`}, [2]string{"camera\x00Dahua", `dahua`},
	[2]string{"linux\x00Ubuntu", `\bubuntu\b`}, [2]string{"linux\x00CentOS", `\bcentos\b`}, [2]string{"linux\x00Debian", `\bdebian\b`},
)

func product(text string) *found {
	for _, at := range windows.FindAllStringSubmatchIndex(text, 8) {
		if denied(text, at[:2]) {
			continue
		}
		version := strings.Join(strings.Fields(strings.Replace(strings.ToUpper(text[at[4]:at[5]]), "R2", " R2", 1)), " ")
		if version == "VISTA" {
			version = "Vista"
		}
		f := &found{device: "windows", product: "Windows", version: version, words: text[at[0]:at[1]]}
		if at[2] >= 0 || len(version) >= 4 && version[:2] == "20" && version != "2000" {
			f.device, f.product = "windows-server", "Windows Server"
		}
		if slices.Contains(endOfSupport, version) {
			f.support = "ended"
		}
		return f
	}
	if m := first(products, text); m != nil {
		device, name, _ := strings.Cut(m.value, "\x00")
		return &found{device: device, product: name, words: m.words}
	}
	return nil
}
