package finding

import "teiten/internal/phrase"

var actions = []rule{
	{"cleaned", phrase.Any(`(?i)%s`, phrase.Table{
		{"removed", `(removed|cleaned|disinfected|deleted|quarantined|eradicated)\b[^.\n]{0,40}`, "We removed the malware"},
		{"ja: eradicated", `駆除(し|を|済|完了|いた)`, "駆除しました"},
		{"ja: virus removed", `(ウイルス|ウィルス|マルウェア)[^。\n]{0,10}(除去|削除)`, "ウイルスを除去"},
	})},
	{"reinstalled", phrase.Any(`(?i)%s`, phrase.Table{
		{"reinstalled", `re-?install(ed|ing|ation)?`, "reinstalled"},
		{"reimaged", `re-?imag(ed|ing)`, "re-imaged"},
		{"rebuilt", `rebuilt`, "rebuilt"},
		{"wiped", `wiped`, "wiped"},
		{"factory reset", `factory[- ]reset`, "factory reset"},
		{"formatted", `formatted`, "formatted"},
		{"ja: initialised", `初期化`, "初期化しました"},
		{"ja: reinstalled", `再インストール`, "再インストール"},
		{"ja: rebuilt", `再構築`, "再構築"},
		{"ja: recovery", `リカバリ`, "リカバリ"},
		{"ja: clean installation", `クリーンインストール`, "クリーンインストール"},
		{"ja: new system", `OS(を)?入れ(替|直)`, "OSを入れ替え"},
	})},
	{"patched", phrase.Any(`(?i)%s`, phrase.Table{
		{"patched", `(patched|installed[^.\n]{0,30}(patch|update)|applied[^.\n]{0,30}(patch|update|ms17)|` +
			`(security )?updates?[^.\n]{0,15}(installed|applied)|upgraded|updated (the )?(firmware|system|os|windows))`, "We applied the patch"},
		{"ja: applied", `(パッチ|更新プログラム|修正プログラム|アップデート|ファームウェア|ms17-?010)[^。\n]{0,16}` +
			`(適用(し|済|いた|を行|を実施|完了)|当てま|更新(し|済|いた)|実施(し|済|いた))`, "パッチを適用しました"},
		{"ja: Windows Update", `windows ?update(を)?(実施|適用|行)`, "Windows Updateを実施"},
		{"ja: newest", `最新(版|の状態)に(更新|アップ)`, "最新版に更新"},
	})},
	{"port-closed", phrase.Any(`(?i)%s`, phrase.Table{
		{"closed", `(closed|blocked|filtered|firewalled|disabled|restricted)\b[^.\n]{0,40}` +
			`(port|smb|445|rdp|telnet|23\b|traffic|access|inbound|outbound|acl)`, "We blocked port 445"},
		{"is closed", `(port|smb|445|telnet|inbound|outbound)[^.\n]{0,30}` +
			`(is|are|was|were|has been|have been|now) (now )?(closed|blocked|filtered|disabled)`, "Port 23 is now closed"},
		{"ja: closed", `(ポート|445|smb|telnet|通信|アクセス)[^。\n]{0,20}` +
			`(閉じ|遮断|閉塞|ブロック|制限|フィルタ|停止|無効)`, "ポートを遮断"},
		{"ja: firewall", `ファイア?ウォール[^。\n]{0,20}(設定|導入|有効)`, "ファイアウォールを設定"},
	})},
	{"disconnected", phrase.Any(`(?i)%s`, phrase.Table{
		{"disconnected", `(disconnected|unplugged|taken (off|offline)|took[^.\n]{0,25}off(line| the net)|isolated|` +
			`shut ?(it )?down|switched off|powered off|removed[^.\n]{0,20}from the network|suspended the (customer|line))`, "We took the host offline"},
		{"ja: off the net", `(ネットワーク|lan|回線|インターネット)[^。\n]{0,12}(切断|切り離|から外|隔離|抜)`, "ネットワークから切断"},
		{"ja: cut off", `切り離し(ま|て|済|た)`, "切り離しました"},
		{"ja: unplugged", `抜線`, "抜線"},
		{"ja: isolated", `隔離(し|を|済|いた)`, "隔離しました"},
		{"ja: switched off", `(電源を(切|落)|シャットダウン|停止(し|いた)しま)`, "電源を切りました"},
	})},
	{"replaced", phrase.Any(`(?i)%s`, phrase.Table{
		{"replaced", `(replaced|retired|decommissioned|scrapped|swapped)\b`, "replaced"},
		{"ja: replaced", `(機器|端末|サーバ|ルータ|pc|パソコン)[^。\n]{0,12}` +
			`(交換|入れ替え|更改|買い替え|撤去|廃棄|リプレース)`, "機器を交換"},
	})},
	{"password", phrase.Any(`(?i)%s`, phrase.Table{
		{"changed", `(changed|reset|rotated|new|set)[^.\n]{0,25}(password|credential)`, "changed the password"},
		{"was changed", `passwords?[^.\n]{0,20}(changed|reset|rotated)`, "passwords were reset"},
		{"ja", `パスワード[^。\n]{0,12}(変更|再設定|設定し直|強化)`, "パスワードを変更"},
	})},
}
