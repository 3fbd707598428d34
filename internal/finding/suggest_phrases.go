package finding

import (
	"regexp"

	"teiten/internal/phrase"
)

// Words that turn what stands near them into its contrary, or into a plan, a
// wish, a question or what others say.
var (
	deniedBefore = phrase.Any(`(?i)\b%s\b[^.!?\n]{0,30}$`, phrase.Table{
		{"no", `no|not|never|nobody|none|without|neither|nor`, "we found no "},
		{"short not", `isn't|wasn't|aren't|weren't|don't|doesn't|didn't|hasn't|haven't|cannot|can't|couldn't|won't`, "it wasn't "},
		{"unable", `unable to`, "we were unable to "},
		{"ruled out", `ruled? out`, "we ruled out "},
		{"condition", `if|should|must|please|whether|instead of|before`, "please tell us whether "},
		{"future", `will|shall|would|could|might|may (be|have)|unlikely|going to`, "it may have been "},
		{"plan", `plan(s|ned|ning)? (to|on)|in order to|need(s|ed)? to`, "we plan to have it "},
		{"advice", `recommend\w*|advis\w+|ask(ed|ing)? (the|our|your|them|him|her)`, "we asked the customer to have it "},
		{"search", `(look|scan|check|search|test)(ed|ing|s)? for|scan for`, "we searched for "},
		{"what you say", `you (say|said|claim|claimed|suspect|wrote|report|reported)`, "you wrote that it was "},
		{"what a report says", `(mail|report|notice|letter|message) (says|said|claims|states|reports)`, "your report says it is "},
	})

	deniedAfter = phrase.Any(`(?i)%s`, phrase.Table{
		{"ja: verb denied", `^[^。.!?\n]{0,14}?(は|が|も|を|に|の)?` +
			`(確認|検出|検知|発見|認め|見つか|見当た|見受け|実施|該当|行)?(されて|られて|られ|できて|でき|して|って|け)?` +
			`(いません|おりません|ありません|ません|していない|ない|なかった|ございません|無し|なし|無い|予定|検討|すべき|でしょうか|か[?？])`,
			"は確認されていません"},
		{"ja: doubt, hearsay or request", `^[^。\n]{0,16}?(ではな[いくか]|かどうか|かを?(確認|調査|調べ|不明|判断)|(の|な)?有無|` +
			`の(疑い|可能性|恐れ|おそれ)|とのこと(です|でした)が|との(ご)?(指摘|連絡)|未実施|未対応|未了|不要|` +
			`よう(に)?、?[^。\n]{0,12}(依頼|お願い|要請|指示|伝え|案内))`, "の可能性があります"},
		{"answer in a form", `^[:\s]{0,3}(無|なし|0 ?件|該当なし|not\b|none\b|negative\b)`, ": none"},
		{"not", `^[^.!?\n]{0,20}\b(was|were|is|are|has|have|came back)(n't| not| negative| ruled out| clean| unlikely)\b`, " was not found"},
		{"question", `^[^.!?\n]{0,40}\?`, " on this host?"},
	})
)

// nothing says that a search found nothing.
var nothing = phrase.Any(`(?i)%s`, phrase.Table{
	{"ja: not found", `(感染|マルウェア|ウイルス|ウィルス|異常|不審な(通信|プロセス|挙動|ファイル|点)|問題)[^。\n]{0,12}` +
		`(確認|検出|検知|発見|認め|見つか|見当た|見受け)[^。\n]{0,8}(ません|なかった|ない)`, "マルウェアは検出されませんでした"},
	{"ja: there is none", `(感染|マルウェア|ウイルス|ウィルス|異常|不審な点|問題)` +
		`(の(疑い|事実|形跡|痕跡|兆候))?は?(ありません|ございません|なし)`, "感染の形跡はありません"},
	{"no infection", `\b(no|not any|without)\b[^.\n]{0,25}` +
		`\b(infections?|malware|virus(es)?|anomal(y|ies)|compromise|sign of|suspicious)\b[^.\n]{0,40}`, "There was no sign of malware"},
	{"clean", `\b(scan|scans|machine|host|server|system)\b[^.\n]{0,20}\b(is|was|came back|came up|found) clean\b`, "The scan came back clean"},
	{"did not find", `\bdid not find (any|anything)\b[^.\n]{0,30}`, "We did not find anything"},
	{"found nothing", `\bfound nothing\b`, "We found nothing"},
})

// ended says that a product's support has ended.
var ended = phrase.Any(`(?i)%s`, phrase.Table{
	{"end of support", `end[- ]of[- ](support|life|service)`, "end-of-life system"},
	{"short", `\beo[sl]\b`, "EOL"},
	{"out of support", `out of support`, "It is out of support"},
	{"no longer", `no longer supported`, "no longer supported"},
	{"unsupported", `unsupported (os|version|windows)`, "an unsupported version"},
	{"ja", `サポート(が|の|は)?(終了|切れ)`, "サポートが終了しています"},
})

var malware = []rule{
	{"WannaCry", regexp.MustCompile(`(?i)wanna ?cry(pt)?\w*|ワナクライ`)},
	{"Mirai", regexp.MustCompile(`(?i)\bmirai\b|ミライボット`)},
	{"Conficker", regexp.MustCompile(`(?i)conficker|downadup|\bkido\b`)},
	{"EternalRocks", regexp.MustCompile(`(?i)eternal ?rocks`)},
	{"SQL Slammer", regexp.MustCompile(`(?i)slammer|sapphire worm`)},
	{"Mozi", regexp.MustCompile(`(?i)\bmozi\b`)},
	{"Hajime", regexp.MustCompile(`(?i)\bhajime\b`)},
	{"Gafgyt", regexp.MustCompile(`(?i)gafgyt|bashlite|\bqbot\b`)},
	{"Emotet", regexp.MustCompile(`(?i)emotet`)},
	{"XorDDoS", regexp.MustCompile(`(?i)xor\.?ddos`)},
	{"DoublePulsar", regexp.MustCompile(`(?i)double ?pulsar`)},
	{"miner", regexp.MustCompile(`(?i)(crypto)?\bminer\b|coin ?miner|xmrig|マイニング(マルウェア|ツール)|コインマイナー`)},
	{"ransomware", regexp.MustCompile(`(?i)ransomware|ランサムウェア|ランサムウエア`)},
}

var results = []rule{
	{"infected", phrase.Any(`(?i)%s`, phrase.Table{
		{"was infected", `(was|were|is|been|got|had been) (infected|compromised|hacked)`, "The host was infected"},
		{"found malware", `(found|detected|removed)[^.\n]{0,30}\b(malware|virus|worm|trojan|bot)\b`, "We found a worm"},
		{"ja: found", `(マルウェア|ウイルス|ウィルス|ワーム|ボット)[^。\n]{0,12}(検出|検知|発見|感染|駆除|見つか)`, "マルウェアを検出しました"},
		{"ja: is infected", `感染して(い|お)`, "感染していました"},
		{"ja: infection confirmed", `感染を確認`, "感染を確認しました"},
		{"ja: it was confirmed", `感染が(確認|判明)`, "感染が判明しました"},
		{"ja: compromised", `侵害され`, "侵害されていました"},
	})},
	{"misused", regexp.MustCompile(`(?i)open (proxy|relay|resolver)|踏み台|不正(に)?利用され|オープンリゾルバ|abused by`)},
	{"misconfigured", regexp.MustCompile(`(?i)mis-?configur|wrong(ly)? configur|設定(の)?(誤り|ミス|不備)|誤設定|typo in`)},
}

var devices = []rule{
	{"nas", regexp.MustCompile(`(?i)\bnas\b|network[- ]attached storage|ネットワークhdd`)},
	{"router", regexp.MustCompile(`(?i)\brouters?\b|\bcpe\b|ルーター?|ブロードバンドルータ|\bgateway device\b`)},
	{"camera", phrase.Any(`(?i)%s`, phrase.Table{
		{"camera", `\b(ip|web|network|security) ?cam(era)?s?\b`, "IP camera"},
		{"recorder", `\bdvr\b`, "DVR"},
		{"network recorder", `\bnvr\b`, "NVR"},
		{"ja: camera", `(監視|防犯|ネットワーク|ウェブ)カメラ`, "防犯カメラ"},
		{"ja: recorder", `レコーダー?`, "レコーダー"},
	})},
	{"iot", regexp.MustCompile(`(?i)\biot\b|組み?込み(機器|端末)|set-?top box|デジタルサイネージ|複合機`)},
	{"windows-server", regexp.MustCompile(`(?i)windows[^.。\n]{0,10}server|ウィンドウズサーバ`)},
	{"windows", regexp.MustCompile(`(?i)\bwindows\b|ウィンドウズ`)},
	{"linux", regexp.MustCompile(`(?i)\blinux\b|\bubuntu\b|\bdebian\b|\bcentos\b|\bred ?hat\b`)},
}

var entries = []rule{
	{"mobile-line", phrase.Any(`(?i)%s`, phrase.Table{
		{"line", `(sim|lte|4g|5g|モバイル|携帯)[^。.\n]{0,20}` +
			`(global ip|public ip|グローバル|固定ip|dongle|ドングル|回線|ルータ)`, "an LTE dongle"},
		{"ja: data line", `データ通信(端末|カード)`, "データ通信カード"},
		{"USB", `usb ?(lte )?(dongle|ドングル|モデム)`, "USB dongle"},
	})},
	{"vpn", phrase.Any(`(?i)%s`, phrase.Table{
		{"VPN attacked", `\bvpn\b[^。.\n]{0,30}(脆弱|vulnerab|経由|exploit|via|侵入)`, "the VPN was vulnerable"},
		{"by VPN", `(via|through|over)[^.\n]{0,20}\bvpn\b`, "through our VPN"},
	})},
	{"weak-password", phrase.Any(`(?i)%s`, phrase.Table{
		{"weak", `(weak|default|guess(ed|able)?|easy|leaked)[^.\n]{0,15}(password|credential)`, "a default password"},
		{"ja: weak", `(初期|デフォルト|脆弱な|簡単な|推測(され|しやす)[^。\n]{0,6}|工場出荷時の)パスワード`, "初期パスワード"},
		{"ja: was weak", `パスワードが(初期|脆弱|簡単|推測)`, "パスワードが脆弱でした"},
		{"brute force", `brute[- ]?force`, "brute-force attack"},
	})},
	{"exposed-port", phrase.Any(`(?i)%s`, phrase.Table{
		{"port open", `(port|smb|rdp|telnet|445|23|3389)[^。.\n]{0,40}` +
			`(exposed|open to|reachable from|accessible from|公開|開放|開いて|インターネットから|外部から)`, "port 445 was reachable from outside"},
		{"ja: to the Internet", `(インターネット|外部)(に|から)(直接)?(公開|接続|アクセス可能|到達)`, "インターネットに公開"},
		{"to the Internet", `(directly )?(exposed|open|connected|reachable)[^.\n]{0,20}(to|from) the internet`, "exposed to the Internet"},
	})},
	{"unpatched", phrase.Any(`(?i)%s`, phrase.Table{
		{"bulletin", `ms17-?010`, "MS17-010"},
		{"exploit", `eternal ?blue`, "EternalBlue"},
		{"missing", `(missing|not installed|without|lacking)[^.\n]{0,20}(patch|update)`, "missing security update"},
		{"unpatched", `unpatched`, "unpatched"},
		{"ja: not applied", `(パッチ|更新プログラム|修正プログラム|アップデート)[^。\n]{0,10}` +
			`(未適用|適用され(て(い|お))?[^。\n]{0,3}(ませ|な)|当たって(い|お)?[^。\n]{0,3}(ませ|な)|漏れ)`, "パッチが未適用でした"},
		{"ja: vulnerability", `脆弱性(を|が)(悪用|突)`, "脆弱性を悪用され"},
	})},
	{"usb", regexp.MustCompile(`(?i)usb ?(stick|memory|drive|メモリ)|infected usb|usb経由|usbメモリー?`)},
	{"mail", phrase.Any(`(?i)%s`, phrase.Table{
		{"phishing", `phishing`, "a phishing mail"},
		{"attachment", `(e-?mail|mail) attachment`, "a mail attachment"},
		{"malicious", `malicious (e-?mail|mail)`, "a malicious e-mail"},
		{"ja: attachment", `メール(の)?添付`, "メール添付"},
		{"ja: targeted", `標的型メール`, "標的型メール"},
		{"ja: suspicious", `不審(な)?メール`, "不審なメール"},
		{"ja: phishing", `フィッシング`, "フィッシング"},
	})},
}
